-- Times are seconds since 1970. metadata, config, context, kwargs, payload, error and caller are JSON.
CREATE TABLE perdure_server_assistants (
    assistant_id TEXT PRIMARY KEY,
    graph_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    config TEXT NOT NULL,
    context TEXT NOT NULL,
    metadata TEXT NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE perdure_server_assistant_versions (
    assistant_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    graph_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    config TEXT NOT NULL,
    context TEXT NOT NULL,
    metadata TEXT NOT NULL,
    created_at REAL NOT NULL,
    PRIMARY KEY (assistant_id, version)
) STRICT, WITHOUT ROWID;

-- run_id: the run that has the thread now; who claims a run sets it, so that no thread has two.
CREATE TABLE perdure_server_threads (
    thread_id TEXT PRIMARY KEY,
    status TEXT NOT NULL,
    metadata TEXT NOT NULL,
    config TEXT NOT NULL,
    error TEXT,
    run_id TEXT,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    state_updated_at REAL NOT NULL,
    ttl_minutes REAL,
    ttl_strategy TEXT,
    expires_at REAL,
    watched_until REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX perdure_server_threads_by_age ON perdure_server_threads (created_at);
CREATE INDEX perdure_server_threads_by_change ON perdure_server_threads (updated_at);
CREATE INDEX perdure_server_threads_by_end ON perdure_server_threads (expires_at) WHERE expires_at IS NOT NULL;

-- position: the order of the queue. generation grows with each claim: a fencing token.
CREATE TABLE perdure_server_runs (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL UNIQUE,
    thread_id TEXT NOT NULL,
    assistant_id TEXT NOT NULL,
    graph_id TEXT NOT NULL,
    status TEXT NOT NULL,
    metadata TEXT NOT NULL,
    kwargs TEXT NOT NULL,
    multitask_strategy TEXT NOT NULL,
    priority INTEGER NOT NULL,
    due_at REAL NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    attempt INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    holder TEXT,
    lease_until REAL NOT NULL,
    cancel TEXT,
    error TEXT,
    watched INTEGER NOT NULL,
    caller TEXT
) STRICT;

CREATE INDEX perdure_server_runs_queue ON perdure_server_runs (priority DESC, position) WHERE status = 'pending';
CREATE INDEX perdure_server_runs_running ON perdure_server_runs (lease_until) WHERE status = 'running';
CREATE INDEX perdure_server_runs_of_thread ON perdure_server_runs (thread_id, position);

CREATE TABLE perdure_server_events (
    event INTEGER PRIMARY KEY AUTOINCREMENT,
    thread_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    name TEXT NOT NULL,
    data TEXT NOT NULL,
    created_at REAL NOT NULL,
    UNIQUE (run_id, seq)
) STRICT;

CREATE INDEX perdure_server_events_of_thread ON perdure_server_events (thread_id, event);
CREATE INDEX perdure_server_events_by_age ON perdure_server_events (created_at);

CREATE TABLE perdure_server_crons (
    cron_id TEXT PRIMARY KEY,
    assistant_id TEXT NOT NULL,
    thread_id TEXT,
    schedule TEXT NOT NULL,
    timezone TEXT,
    end_time REAL,
    enabled INTEGER NOT NULL,
    on_run_completed TEXT,
    payload TEXT NOT NULL,
    metadata TEXT NOT NULL,
    user_id TEXT,
    next_run_at REAL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    caller TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX perdure_server_crons_due ON perdure_server_crons (next_run_at) WHERE enabled = 1;

-- A message that is to be sent; claimed by moving due_at.
CREATE TABLE perdure_server_webhooks (
    run_id TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    body TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    due_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX perdure_server_webhooks_due ON perdure_server_webhooks (due_at);
