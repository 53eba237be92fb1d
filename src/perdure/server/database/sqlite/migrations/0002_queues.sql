-- queue: its limits are the configuration's. queue_key: runs with the same one share the queue's limits a key.
ALTER TABLE perdure_server_runs ADD COLUMN queue TEXT NOT NULL DEFAULT 'default';
ALTER TABLE perdure_server_runs ADD COLUMN queue_key TEXT;

CREATE INDEX perdure_server_runs_of_queue ON perdure_server_runs (queue, priority DESC, position)
WHERE status = 'pending';
CREATE INDEX perdure_server_runs_running_of_queue ON perdure_server_runs (queue, queue_key)
WHERE status = 'running';

-- A limited queue's row is the lock of its claims, key ''. free_at: when all that the rate had lent is paid back.
CREATE TABLE perdure_server_limits (
    queue TEXT NOT NULL,
    key TEXT NOT NULL,
    free_at REAL NOT NULL,
    PRIMARY KEY (queue, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX perdure_server_limits_by_time ON perdure_server_limits (free_at);
