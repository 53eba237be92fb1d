-- name: is_servers on sqlite
SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'perdure_server_threads';

-- name: is_servers on postgres
SELECT 1 WHERE to_regclass('perdure_server_threads') IS NOT NULL;

-- name: runs
SELECT run_id FROM perdure_server_runs WHERE thread_id = $1;

-- name: delete_webhooks
DELETE FROM perdure_server_webhooks
WHERE run_id IN (SELECT run_id FROM perdure_server_runs WHERE thread_id = $1);

-- name: delete_runs
DELETE FROM perdure_server_runs WHERE thread_id = $1;

-- name: delete_events
DELETE FROM perdure_server_events WHERE thread_id = $1;

-- name: delete_crons
DELETE FROM perdure_server_crons WHERE thread_id = $1;

-- name: delete_thread
DELETE FROM perdure_server_threads WHERE thread_id = $1;
