-- Times are seconds since 1970. metadata, config, context, kwargs, payload, error and caller are JSON.
CREATE TABLE @schema.perdure_server_assistants (
    assistant_id text COLLATE "C" PRIMARY KEY,
    graph_id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    description text COLLATE "C",
    config text COLLATE "C" NOT NULL,
    context text COLLATE "C" NOT NULL,
    metadata text COLLATE "C" NOT NULL,
    created_at double precision NOT NULL,
    updated_at double precision NOT NULL
);

CREATE TABLE @schema.perdure_server_assistant_versions (
    assistant_id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    graph_id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    description text COLLATE "C",
    config text COLLATE "C" NOT NULL,
    context text COLLATE "C" NOT NULL,
    metadata text COLLATE "C" NOT NULL,
    created_at double precision NOT NULL,
    PRIMARY KEY (assistant_id, version)
);

-- run_id: the run that has the thread now; who claims a run sets it, so that no thread has two.
CREATE TABLE @schema.perdure_server_threads (
    thread_id text COLLATE "C" PRIMARY KEY,
    status text COLLATE "C" NOT NULL,
    metadata text COLLATE "C" NOT NULL,
    config text COLLATE "C" NOT NULL,
    error text COLLATE "C",
    run_id text COLLATE "C",
    created_at double precision NOT NULL,
    updated_at double precision NOT NULL,
    state_updated_at double precision NOT NULL,
    ttl_minutes double precision,
    ttl_strategy text COLLATE "C",
    expires_at double precision,
    watched_until double precision NOT NULL
);

CREATE INDEX perdure_server_threads_by_age ON @schema.perdure_server_threads (created_at);
CREATE INDEX perdure_server_threads_by_change ON @schema.perdure_server_threads (updated_at);
CREATE INDEX perdure_server_threads_by_end ON @schema.perdure_server_threads (expires_at) WHERE expires_at IS NOT NULL;

-- position: the order of the queue. generation grows with each claim: a fencing token.
CREATE TABLE @schema.perdure_server_runs (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id text COLLATE "C" NOT NULL UNIQUE,
    thread_id text COLLATE "C" NOT NULL,
    assistant_id text COLLATE "C" NOT NULL,
    graph_id text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    metadata text COLLATE "C" NOT NULL,
    kwargs text COLLATE "C" NOT NULL,
    multitask_strategy text COLLATE "C" NOT NULL,
    priority bigint NOT NULL,
    due_at double precision NOT NULL,
    created_at double precision NOT NULL,
    updated_at double precision NOT NULL,
    attempt bigint NOT NULL,
    generation bigint NOT NULL,
    holder text COLLATE "C",
    lease_until double precision NOT NULL,
    cancel text COLLATE "C",
    error text COLLATE "C",
    watched bigint NOT NULL,
    caller text COLLATE "C"
);

CREATE INDEX perdure_server_runs_queue ON @schema.perdure_server_runs (priority DESC, position) WHERE status = 'pending';
CREATE INDEX perdure_server_runs_running ON @schema.perdure_server_runs (lease_until) WHERE status = 'running';
CREATE INDEX perdure_server_runs_of_thread ON @schema.perdure_server_runs (thread_id, position);

CREATE TABLE @schema.perdure_server_events (
    event bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    thread_id text COLLATE "C" NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    data text COLLATE "C" NOT NULL,
    created_at double precision NOT NULL,
    UNIQUE (run_id, seq)
);

CREATE INDEX perdure_server_events_of_thread ON @schema.perdure_server_events (thread_id, event);
CREATE INDEX perdure_server_events_by_age ON @schema.perdure_server_events (created_at);

CREATE TABLE @schema.perdure_server_crons (
    cron_id text COLLATE "C" PRIMARY KEY,
    assistant_id text COLLATE "C" NOT NULL,
    thread_id text COLLATE "C",
    schedule text COLLATE "C" NOT NULL,
    timezone text COLLATE "C",
    end_time double precision,
    enabled bigint NOT NULL,
    on_run_completed text COLLATE "C",
    payload text COLLATE "C" NOT NULL,
    metadata text COLLATE "C" NOT NULL,
    user_id text COLLATE "C",
    next_run_at double precision,
    created_at double precision NOT NULL,
    updated_at double precision NOT NULL,
    caller text COLLATE "C"
);

CREATE INDEX perdure_server_crons_due ON @schema.perdure_server_crons (next_run_at) WHERE enabled = 1;

-- A message that is to be sent; claimed by moving due_at.
CREATE TABLE @schema.perdure_server_webhooks (
    run_id text COLLATE "C" PRIMARY KEY,
    url text COLLATE "C" NOT NULL,
    body text COLLATE "C" NOT NULL,
    attempt bigint NOT NULL,
    due_at double precision NOT NULL
);

CREATE INDEX perdure_server_webhooks_due ON @schema.perdure_server_webhooks (due_at);

CREATE INDEX perdure_server_threads_by_metadata ON @schema.perdure_server_threads
USING gin ((metadata::jsonb) jsonb_path_ops);
CREATE INDEX perdure_server_assistants_by_metadata ON @schema.perdure_server_assistants
USING gin ((metadata::jsonb) jsonb_path_ops);
