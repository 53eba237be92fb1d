-- queue: its limits are the configuration's. queue_key: runs with the same one share the queue's limits a key.
ALTER TABLE @schema.perdure_server_runs ADD COLUMN queue text COLLATE "C" NOT NULL DEFAULT 'default';
ALTER TABLE @schema.perdure_server_runs ADD COLUMN queue_key text COLLATE "C";

CREATE INDEX perdure_server_runs_of_queue ON @schema.perdure_server_runs (queue, priority DESC, position)
WHERE status = 'pending';
CREATE INDEX perdure_server_runs_running_of_queue ON @schema.perdure_server_runs (queue, queue_key)
WHERE status = 'running';

-- A limited queue's row is the lock of its claims, key ''. free_at: when all that the rate had lent is paid back.
CREATE TABLE @schema.perdure_server_limits (
    queue text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    free_at double precision NOT NULL,
    PRIMARY KEY (queue, key)
);

CREATE INDEX perdure_server_limits_by_time ON @schema.perdure_server_limits (free_at);
