-- The statements of both databases. What they write differently is a macro, filled in when the file is read (dialects.py):
-- @schema. stands before a table; $1 is a bound value; @contains(a, b) tells whether JSON a has all of JSON b;
-- @visible(a, b) whether a has all of one of the filters in the JSON array b, or b is NULL; @among(a, b) whether text a
-- is in the JSON array b; @position(a, b) where text b is in a, 0 if nowhere; @words(a, b) whether all texts of the JSON
-- array b are in text a; @lock and @skip lock rows, where there are locks of rows; @order is one of the orders of orders.py.

-- name: still_visible
SELECT 1 WHERE @visible(CAST($1 AS text), $2);

-- name: add_assistant
INSERT INTO @schema.perdure_server_assistants
    (assistant_id, graph_id, version, name, description, config, context, metadata, created_at, updated_at)
VALUES ($1, $2, 1, $3, $4, $5, $6, $7, $8, $8) ON CONFLICT (assistant_id) DO NOTHING RETURNING assistant_id;

-- name: add_assistant_version
INSERT INTO @schema.perdure_server_assistant_versions
    (assistant_id, version, graph_id, name, description, config, context, metadata, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: get_assistant
SELECT @assistant FROM @schema.perdure_server_assistants WHERE assistant_id = $1 AND @visible(metadata, $2);

-- name: lock_assistant
SELECT @assistant FROM @schema.perdure_server_assistants WHERE assistant_id = $1 AND @visible(metadata, $2) @lock;

-- name: newest_version
SELECT max(version) FROM @schema.perdure_server_assistant_versions WHERE assistant_id = $1;

-- name: set_assistant
UPDATE @schema.perdure_server_assistants SET version = $2, graph_id = $3, name = $4, description = $5, config = $6,
    context = $7, metadata = $8, updated_at = $9 WHERE assistant_id = $1;

-- name: get_version
SELECT @version FROM @schema.perdure_server_assistant_versions WHERE assistant_id = $1 AND version = $2;

-- name: list_versions
SELECT @version FROM @schema.perdure_server_assistant_versions
WHERE assistant_id = $1 AND @contains(metadata, $2) ORDER BY version DESC LIMIT $3 OFFSET $4;

-- name: delete_assistant
DELETE FROM @schema.perdure_server_assistants WHERE assistant_id = $1 AND @visible(metadata, $2) RETURNING assistant_id;

-- name: delete_versions
DELETE FROM @schema.perdure_server_assistant_versions WHERE assistant_id = $1;

-- name: search_assistants
SELECT @assistant FROM @schema.perdure_server_assistants
WHERE @contains(metadata, $1) AND @visible(metadata, $2) AND (CAST($3 AS text) IS NULL OR graph_id = $3)
    AND (CAST($4 AS text) IS NULL OR @position(lower(name), lower($4)) > 0)
@order LIMIT $5 OFFSET $6;

-- name: count_assistants
SELECT count(*) FROM @schema.perdure_server_assistants
WHERE @contains(metadata, $1) AND @visible(metadata, $2) AND (CAST($3 AS text) IS NULL OR graph_id = $3)
    AND (CAST($4 AS text) IS NULL OR @position(lower(name), lower($4)) > 0);

-- name: threads_of_assistant
SELECT thread_id FROM @schema.perdure_server_threads WHERE @contains(metadata, $1) AND @visible(metadata, $2);

-- name: add_thread
INSERT INTO @schema.perdure_server_threads (thread_id, status, metadata, config, created_at, updated_at,
    state_updated_at, ttl_minutes, ttl_strategy, expires_at, watched_until)
VALUES ($1, 'idle', $2, '{}', $3, $3, $3, $4, $5, $6, 0) ON CONFLICT (thread_id) DO NOTHING RETURNING thread_id;

-- name: get_thread
SELECT @thread FROM @schema.perdure_server_threads WHERE thread_id = $1 AND @visible(metadata, $2);

-- name: lock_thread
SELECT watched_until, told_until, @thread FROM @schema.perdure_server_threads WHERE thread_id = $1 AND @visible(metadata, $2) @lock;

-- name: set_thread
UPDATE @schema.perdure_server_threads SET metadata = $2, ttl_minutes = $3, ttl_strategy = $4, expires_at = $5,
    updated_at = $6 WHERE thread_id = $1;

-- name: set_thread_metadata
UPDATE @schema.perdure_server_threads SET metadata = $2, config = $3, status = $4, updated_at = $5 WHERE thread_id = $1;

-- name: set_thread_status
UPDATE @schema.perdure_server_threads SET status = $2, error = $3, updated_at = $4, state_updated_at = $4,
    expires_at = $4 + ttl_minutes * 60 WHERE thread_id = $1 AND run_id IS NULL;

-- name: delete_thread
DELETE FROM @schema.perdure_server_threads WHERE thread_id = $1 AND @visible(metadata, $2) RETURNING thread_id;

-- name: delete_runs_of_thread
DELETE FROM @schema.perdure_server_runs WHERE thread_id = $1;

-- name: delete_events_of_thread
DELETE FROM @schema.perdure_server_events WHERE thread_id = $1;

-- name: delete_crons_of_thread
DELETE FROM @schema.perdure_server_crons WHERE thread_id = $1;

-- name: search_threads
SELECT @thread FROM @schema.perdure_server_threads
WHERE @contains(metadata, $1) AND @visible(metadata, $2) AND (CAST($3 AS text) IS NULL OR status = $3)
    AND (CAST($4 AS text) IS NULL OR @among(thread_id, $4))
@order LIMIT $5 OFFSET $6;

-- name: count_threads
SELECT count(*) FROM @schema.perdure_server_threads
WHERE @contains(metadata, $1) AND @visible(metadata, $2) AND (CAST($3 AS text) IS NULL OR status = $3)
    AND (CAST($4 AS text) IS NULL OR @among(thread_id, $4));

-- name: look_threads
SELECT @thread FROM @schema.perdure_server_threads
WHERE @contains(metadata, $1) AND @visible(metadata, $2) AND (CAST($3 AS text) IS NULL OR status = $3)
    AND (CAST($4 AS text) IS NULL OR @among(thread_id, $4))
    AND @words(lower(thread_id || ' ' || status || ' ' || metadata || ' ' || coalesce(error, '')), $5)
ORDER BY updated_at DESC, thread_id DESC LIMIT $6 OFFSET $7;

-- name: watch_thread
UPDATE @schema.perdure_server_threads SET watched_until = $2 WHERE thread_id = $1
RETURNING run_id IS NOT NULL;

-- name: watch_thread_closely
UPDATE @schema.perdure_server_threads SET watched_until = $2, told_until = $2 WHERE thread_id = $1
RETURNING run_id IS NOT NULL;

-- name: expired_threads
SELECT thread_id, ttl_strategy FROM @schema.perdure_server_threads
WHERE expires_at <= $1 AND run_id IS NULL ORDER BY expires_at LIMIT $2;

-- name: put_off_expiry
UPDATE @schema.perdure_server_threads SET expires_at = $2 WHERE thread_id = $1;

-- name: add_run
INSERT INTO @schema.perdure_server_runs (run_id, thread_id, assistant_id, graph_id, status, metadata, kwargs,
    multitask_strategy, priority, due_at, created_at, updated_at, attempt, generation, holder, lease_until, watched, caller,
    queue, queue_key, trace)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12, $12, $13, $14, $15, $16, $17, $18, $19);

-- name: set_thread_busy
UPDATE @schema.perdure_server_threads SET status = 'busy', metadata = $2, config = $3, run_id = $4, error = NULL,
    updated_at = $5, expires_at = NULL WHERE thread_id = $1;

-- name: active_runs
SELECT run_id, status, holder FROM @schema.perdure_server_runs
WHERE thread_id = $1 AND status IN ('pending', 'running') ORDER BY position @lock;

-- name: interrupt_pending
UPDATE @schema.perdure_server_runs SET status = 'interrupted', cancel = $2, updated_at = $3
WHERE thread_id = $1 AND status = 'pending';

-- name: delete_pending
DELETE FROM @schema.perdure_server_runs WHERE thread_id = $1 AND status = 'pending';

-- name: cancel_running
UPDATE @schema.perdure_server_runs SET cancel = $2, updated_at = $3 WHERE thread_id = $1 AND status = 'running';

-- name: get_run
SELECT @run FROM @schema.perdure_server_runs AS r
WHERE run_id = $1 AND (CAST($2 AS text) IS NULL OR thread_id = $2) AND (CAST($3 AS text) IS NULL OR EXISTS (
    SELECT 1 FROM @schema.perdure_server_threads AS t WHERE t.thread_id = r.thread_id AND @visible(t.metadata, $3)));

-- name: lock_run
SELECT @run FROM @schema.perdure_server_runs WHERE run_id = $1 @lock;

-- name: list_runs
SELECT @run FROM @schema.perdure_server_runs WHERE thread_id = $1 AND (CAST($2 AS text) IS NULL OR status = $2)
ORDER BY position DESC LIMIT $3 OFFSET $4;

-- name: look_runs
SELECT @run FROM @schema.perdure_server_runs AS r
WHERE (CAST($1 AS text) IS NULL OR status = $1) AND (CAST($2 AS text) IS NULL OR graph_id = $2)
    AND (CAST($3 AS text) IS NULL OR queue = $3)
    AND ((CAST($4 AS text) IS NULL AND CAST($5 AS text) IS NULL) OR EXISTS (
        SELECT 1 FROM @schema.perdure_server_threads AS t
        WHERE t.thread_id = r.thread_id AND @contains(t.metadata, $4) AND @visible(t.metadata, $5)))
ORDER BY position DESC LIMIT $6 OFFSET $7;

-- name: delete_run
DELETE FROM @schema.perdure_server_runs WHERE run_id = $1;

-- name: delete_events_of_run
DELETE FROM @schema.perdure_server_events WHERE run_id = $1;

-- name: runs_to_cancel
SELECT r.run_id, r.thread_id FROM @schema.perdure_server_runs AS r
JOIN @schema.perdure_server_threads AS t ON t.thread_id = r.thread_id
WHERE @visible(t.metadata, $1) AND @among(r.status, $2) AND (CAST($3 AS text) IS NULL OR r.thread_id = $3)
    AND (CAST($4 AS text) IS NULL OR @among(r.run_id, $4));

-- name: set_cancel
UPDATE @schema.perdure_server_runs SET cancel = $2, updated_at = $3 WHERE run_id = $1 AND status = 'running';

-- name: end_pending
UPDATE @schema.perdure_server_runs SET status = 'interrupted', cancel = $2, updated_at = $3
WHERE run_id = $1 AND status = 'pending';

-- name: free_thread
-- A thread that nobody has any more: what its state is then is for the caller to say.
UPDATE @schema.perdure_server_threads SET status = 'idle', updated_at = $2, expires_at = $2 + ttl_minutes * 60
WHERE thread_id = $1 AND run_id IS NULL AND status = 'busy' AND NOT EXISTS (
    SELECT 1 FROM @schema.perdure_server_runs AS r WHERE r.thread_id = $1 AND r.status IN ('pending', 'running'));

-- name: due_runs
-- The first of each thread that has no run, the most urgent first; but of queues with limits.
SELECT @run FROM @schema.perdure_server_runs AS r WHERE r.run_id IN (
    SELECT r.run_id FROM @schema.perdure_server_runs AS r
    JOIN @schema.perdure_server_threads AS t ON t.thread_id = r.thread_id
    WHERE r.status = 'pending' AND r.due_at <= $1 AND t.run_id IS NULL AND NOT @among(r.queue, $3) AND NOT EXISTS (
        SELECT 1 FROM @schema.perdure_server_runs AS e WHERE e.thread_id = r.thread_id AND e.status = 'pending'
            AND e.due_at <= $1 AND e.position < r.position)
    ORDER BY r.priority DESC, r.position LIMIT $2 @skip)
ORDER BY r.priority DESC, r.position;

-- name: waiting_queues
SELECT DISTINCT queue FROM @schema.perdure_server_runs
WHERE status = 'pending' AND due_at <= $1 AND @among(queue, $2);

-- name: add_limit
INSERT INTO @schema.perdure_server_limits (queue, key, free_at) VALUES ($1, '', 0)
ON CONFLICT (queue, key) DO NOTHING;

-- name: lock_limit
SELECT free_at FROM @schema.perdure_server_limits WHERE queue = $1 AND key = '' @lock;

-- name: running_of_queue
SELECT count(*) FROM @schema.perdure_server_runs WHERE status = 'running' AND queue = $1;

-- name: due_runs_of_queue
SELECT @run FROM @schema.perdure_server_runs AS r WHERE r.run_id IN (
    SELECT r.run_id FROM @schema.perdure_server_runs AS r
    JOIN @schema.perdure_server_threads AS t ON t.thread_id = r.thread_id
    WHERE r.status = 'pending' AND r.due_at <= $1 AND t.run_id IS NULL AND r.queue = $3 AND NOT EXISTS (
        SELECT 1 FROM @schema.perdure_server_runs AS e WHERE e.thread_id = r.thread_id AND e.status = 'pending'
            AND e.due_at <= $1 AND e.position < r.position)
    ORDER BY r.priority DESC, r.position LIMIT $2 @skip)
ORDER BY r.priority DESC, r.position;

-- name: due_runs_by_key
-- As due_runs_of_queue, and of each key as many as may run ($4) and may be begun by its rate ($5, $6).
SELECT @run FROM @schema.perdure_server_runs AS r WHERE r.run_id IN (
    SELECT r.run_id FROM @schema.perdure_server_runs AS r
    JOIN @schema.perdure_server_threads AS t ON t.thread_id = r.thread_id
    WHERE r.status = 'pending' AND t.run_id IS NULL AND r.run_id IN (
        SELECT d.run_id FROM (
            SELECT r.run_id, r.priority, r.position, r.queue_key,
                row_number() OVER (PARTITION BY r.queue_key ORDER BY r.priority DESC, r.position) AS place
            FROM @schema.perdure_server_runs AS r
            JOIN @schema.perdure_server_threads AS t ON t.thread_id = r.thread_id
            WHERE r.status = 'pending' AND r.due_at <= $1 AND t.run_id IS NULL AND r.queue = $3 AND NOT EXISTS (
                SELECT 1 FROM @schema.perdure_server_runs AS e WHERE e.thread_id = r.thread_id
                    AND e.status = 'pending' AND e.due_at <= $1 AND e.position < r.position)) AS d
        LEFT JOIN (
            SELECT queue_key, count(*) AS running FROM @schema.perdure_server_runs
            WHERE status = 'running' AND queue = $3 GROUP BY queue_key) AS o ON o.queue_key = d.queue_key
        LEFT JOIN @schema.perdure_server_limits AS l ON l.queue = $3 AND l.key = '=' || d.queue_key
        WHERE d.queue_key IS NULL OR (
            (CAST($4 AS bigint) IS NULL OR d.place + coalesce(o.running, 0) <= CAST($4 AS bigint))
            AND (CAST($5 AS double precision) IS NULL OR d.place <= 1e-9 + $6 - CASE WHEN l.free_at > $1
                THEN (l.free_at - $1) * CAST($5 AS double precision) ELSE 0 END))
        ORDER BY d.priority DESC, d.position LIMIT $2) @skip)
ORDER BY r.priority DESC, r.position;

-- name: next_free_key
-- When the first of the keys that runs wait for lends again: $3 seconds before all is paid back.
SELECT min(l.free_at - $3) FROM @schema.perdure_server_limits AS l
WHERE l.queue = $2 AND l.key <> '' AND l.free_at - $3 > $1 AND EXISTS (
    SELECT 1 FROM @schema.perdure_server_runs AS r
    WHERE r.status = 'pending' AND r.queue = $2 AND '=' || r.queue_key = l.key);

-- name: no_key
SELECT NULL;

-- name: lend
INSERT INTO @schema.perdure_server_limits AS l (queue, key, free_at)
VALUES ($1, $2, CAST($3 AS double precision) + CAST($4 AS double precision))
ON CONFLICT (queue, key) DO UPDATE SET
    free_at = $4 + CASE WHEN l.free_at > $3 THEN l.free_at ELSE $3 END;

-- name: sweep_limits
DELETE FROM @schema.perdure_server_limits WHERE key <> '' AND free_at < $1;

-- name: claim_thread
UPDATE @schema.perdure_server_threads SET run_id = $2, status = 'busy' WHERE thread_id = $1 AND run_id IS NULL
RETURNING watched_until, told_until;

-- name: claim_run
UPDATE @schema.perdure_server_runs SET status = 'running', attempt = attempt + 1, generation = generation + 1,
    holder = $2, lease_until = $3, updated_at = $4 WHERE run_id = $1 AND status = 'pending' RETURNING run_id;

-- name: renew_run
UPDATE @schema.perdure_server_runs SET lease_until = $3
WHERE run_id = $1 AND generation = $2 AND status = 'running' RETURNING cancel, watched;

-- name: watched_threads
SELECT thread_id, watched_until, told_until FROM @schema.perdure_server_threads WHERE @among(thread_id, $1) AND watched_until > $2;

-- name: watch_run
-- 1: whoever made the run listens; 2: somebody else; 3: somebody who is to be told all channels.
UPDATE @schema.perdure_server_runs SET watched = 2 WHERE run_id = $1 AND status IN ('pending', 'running');

-- name: finish_run
UPDATE @schema.perdure_server_runs SET status = $3, error = $4, updated_at = $5, lease_until = 0
WHERE run_id = $1 AND generation = $2 AND status = 'running' RETURNING thread_id;

-- name: leave_thread
UPDATE @schema.perdure_server_threads SET run_id = NULL, status = CASE WHEN EXISTS (
        SELECT 1 FROM @schema.perdure_server_runs AS r WHERE r.thread_id = $1 AND r.status = 'pending')
    THEN 'busy' ELSE $3 END, error = $4, updated_at = $5, state_updated_at = $5,
    expires_at = coalesce(CAST($6 AS double precision), $5 + ttl_minutes * 60)
WHERE thread_id = $1 AND run_id = $2 RETURNING watched_until, told_until;

-- name: put_back
UPDATE @schema.perdure_server_runs SET status = 'pending', due_at = $3, updated_at = $4, lease_until = 0,
    attempt = attempt - $5
WHERE run_id = $1 AND generation = $2 AND status = 'running' RETURNING thread_id;

-- name: leave_thread_busy
UPDATE @schema.perdure_server_threads SET run_id = NULL WHERE thread_id = $1 AND run_id = $2;

-- name: claimed_runs
-- Those of others, and one's own that one doesn't renew any more.
SELECT run_id, thread_id, generation, attempt, holder, lease_until FROM @schema.perdure_server_runs
WHERE status = 'running' AND (holder <> $1 OR lease_until < $2) ORDER BY lease_until LIMIT 100;

-- name: add_event
INSERT INTO @schema.perdure_server_events (thread_id, run_id, seq, name, data, created_at)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (run_id, seq) DO NOTHING;

-- name: events_of_run
SELECT @event FROM @schema.perdure_server_events WHERE run_id = $1 AND seq > $2 ORDER BY seq LIMIT $3;

-- name: events_of_thread
-- What a run's own thread has left behind after its end is still whoever's it was. Marks that readers write are no place
-- to go on from: what a run writes at the same time may have a lower number.
SELECT @event FROM @schema.perdure_server_events WHERE thread_id = $1 AND event > $2 AND name <> '~told' AND NOT EXISTS (
    SELECT 1 FROM @schema.perdure_server_threads AS t WHERE t.thread_id = $1 AND NOT @visible(t.metadata, $4))
ORDER BY event LIMIT $3;

-- name: last_seq
SELECT coalesce(max(seq), 0) FROM @schema.perdure_server_events WHERE run_id = $1;

-- name: last_event
SELECT coalesce(max(event), 0) FROM @schema.perdure_server_events WHERE thread_id = $1 AND name <> '~told';

-- name: begin_of_run
SELECT coalesce(min(event), 0), coalesce(max(CASE WHEN name = $2 THEN 1 ELSE 0 END), 0)
FROM @schema.perdure_server_events WHERE run_id = $1;

-- name: events_of_name
SELECT @event FROM @schema.perdure_server_events WHERE run_id = $1 AND name LIKE $2 ORDER BY seq;

-- name: missed_events
SELECT count(*), coalesce(min(event), 0) FROM @schema.perdure_server_events
WHERE thread_id = $1 AND run_id = $2 AND name LIKE $3 AND name <> '~told' AND seq > $4;

-- name: sweep_events
DELETE FROM @schema.perdure_server_events WHERE created_at < $1 AND run_id NOT IN (
    SELECT run_id FROM @schema.perdure_server_runs WHERE status IN ('pending', 'running'));

-- name: queue_depth
SELECT queue, status, count(*), min(due_at) FROM @schema.perdure_server_runs
WHERE status IN ('pending', 'running') GROUP BY queue, status;

-- name: add_cron
INSERT INTO @schema.perdure_server_crons (cron_id, assistant_id, thread_id, schedule, timezone, end_time, enabled,
    on_run_completed, payload, metadata, user_id, next_run_at, created_at, updated_at, caller)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $14);

-- name: get_cron
SELECT @cron FROM @schema.perdure_server_crons WHERE cron_id = $1 AND @visible(metadata, $2);

-- name: lock_cron
SELECT @cron FROM @schema.perdure_server_crons WHERE cron_id = $1 AND @visible(metadata, $2) @lock;

-- name: set_cron
UPDATE @schema.perdure_server_crons SET schedule = $2, timezone = $3, end_time = $4, enabled = $5, on_run_completed = $6,
    payload = $7, metadata = $8, next_run_at = $9, updated_at = $10 WHERE cron_id = $1;

-- name: delete_cron
DELETE FROM @schema.perdure_server_crons WHERE cron_id = $1 AND @visible(metadata, $2) RETURNING cron_id;

-- name: search_crons
SELECT @cron FROM @schema.perdure_server_crons
WHERE @contains(metadata, $1) AND @visible(metadata, $2) AND (CAST($3 AS text) IS NULL OR assistant_id = $3)
    AND (CAST($4 AS text) IS NULL OR thread_id = $4) AND (CAST($5 AS bigint) IS NULL OR enabled = $5)
@order LIMIT $6 OFFSET $7;

-- name: count_crons
SELECT count(*) FROM @schema.perdure_server_crons
WHERE @contains(metadata, $1) AND @visible(metadata, $2) AND (CAST($3 AS text) IS NULL OR assistant_id = $3)
    AND (CAST($4 AS text) IS NULL OR thread_id = $4) AND (CAST($5 AS bigint) IS NULL OR enabled = $5);

-- name: due_crons
SELECT @cron FROM @schema.perdure_server_crons WHERE enabled = 1 AND next_run_at <= $1 ORDER BY next_run_at LIMIT 100;

-- name: move_cron
UPDATE @schema.perdure_server_crons SET next_run_at = $3 WHERE cron_id = $1 AND next_run_at = $2 RETURNING cron_id;

-- name: add_webhook
INSERT INTO @schema.perdure_server_webhooks (run_id, url, body, attempt, due_at) VALUES ($1, $2, $3, 0, $4)
ON CONFLICT (run_id) DO NOTHING;

-- name: due_webhooks
SELECT run_id, url, body, attempt, due_at FROM @schema.perdure_server_webhooks WHERE due_at <= $1
ORDER BY due_at LIMIT $2;

-- name: move_webhook
UPDATE @schema.perdure_server_webhooks SET due_at = $3, attempt = attempt + 1 WHERE run_id = $1 AND due_at = $2
RETURNING run_id;

-- name: put_off_webhook
UPDATE @schema.perdure_server_webhooks SET due_at = $2 WHERE run_id = $1;

-- name: delete_webhook
DELETE FROM @schema.perdure_server_webhooks WHERE run_id = $1;
