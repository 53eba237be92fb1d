-- Each statement stands alone: nothing is kept in the session, so that a pooler may give it to any connection.

-- name: append
-- Commit to a namespace that is as this process last saw it: new checkpoints from the head on, their pieces, and writes.
-- Without a row nothing was stored: the namespace has changed, the lease is lost, or a task has writes already.
WITH lease AS (
    SELECT stop FROM @schema.perdure_leases WHERE thread_id = $1 AND holder = $2 AND generation = $3 FOR SHARE
), guard AS (
    UPDATE @schema.perdure_namespaces SET head = $7, next_piece = $8
    WHERE ns = $4 AND head IS NOT DISTINCT FROM $5::text AND next_piece = $6
        AND ($1::text IS NULL OR EXISTS (SELECT 1 FROM lease))
        AND NOT EXISTS (
            SELECT 1 FROM @schema.perdure_writes
            WHERE ns = $4 AND checkpoint_id = ANY ($16::text[]) AND task_id = ANY ($17::text[])
        )
    RETURNING ns
), checkpoints AS (
    INSERT INTO @schema.perdure_checkpoints (ns, checkpoint_id, parent_id, run_id, metadata, record)
    SELECT guard.ns, c.checkpoint_id, c.parent_id, c.run_id, c.metadata, c.record
    FROM guard, unnest($9::text[], $10::text[], $11::text[], $12::jsonb[], $13::bytea[])
        AS c (checkpoint_id, parent_id, run_id, metadata, record)
), pieces AS (
    INSERT INTO @schema.perdure_pieces (ns, piece, data)
    SELECT guard.ns, p.piece, p.data FROM guard, unnest($14::bigint[], $15::bytea[]) AS p (piece, data)
), writes AS (
    INSERT INTO @schema.perdure_writes (ns, checkpoint_id, task_id, task_path, data)
    SELECT guard.ns, w.checkpoint_id, w.task_id, w.task_path, w.data
    FROM guard, unnest($16::text[], $17::text[], $18::text[], $19::bytea[])
        AS w (checkpoint_id, task_id, task_path, data)
)
SELECT coalesce((SELECT stop FROM lease), false) FROM guard;

-- name: begin
-- The first commits of a namespace. Without a row nothing was stored: it was there already, or the lease is lost.
WITH lease AS (
    SELECT stop FROM @schema.perdure_leases WHERE thread_id = $1 AND holder = $2 AND generation = $3 FOR SHARE
), guard AS (
    INSERT INTO @schema.perdure_namespaces (thread_id, checkpoint_ns, head, next_piece)
    SELECT $4, $5, $6, $7 WHERE $1::text IS NULL OR EXISTS (SELECT 1 FROM lease)
    ON CONFLICT (thread_id, checkpoint_ns) DO NOTHING
    RETURNING ns
), checkpoints AS (
    INSERT INTO @schema.perdure_checkpoints (ns, checkpoint_id, parent_id, run_id, metadata, record)
    SELECT guard.ns, c.checkpoint_id, c.parent_id, c.run_id, c.metadata, c.record
    FROM guard, unnest($8::text[], $9::text[], $10::text[], $11::jsonb[], $12::bytea[])
        AS c (checkpoint_id, parent_id, run_id, metadata, record)
), pieces AS (
    INSERT INTO @schema.perdure_pieces (ns, piece, data)
    SELECT guard.ns, p.piece, p.data FROM guard, unnest($13::bigint[], $14::bytea[]) AS p (piece, data)
), writes AS (
    INSERT INTO @schema.perdure_writes (ns, checkpoint_id, task_id, task_path, data)
    SELECT guard.ns, w.checkpoint_id, w.task_id, w.task_path, w.data
    FROM guard, unnest($15::text[], $16::text[], $17::text[], $18::bytea[])
        AS w (checkpoint_id, task_id, task_path, data)
)
SELECT ns, coalesce((SELECT stop FROM lease), false) FROM guard;

-- name: append_all
-- What `append` does, for many namespaces at once; each one that fails is left out. A row for each that was stored.
WITH asked AS (
    SELECT * FROM unnest(
        $1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[], $7::text[], $8::bigint[]
    ) AS a (thread_id, holder, generation, ns, head, next_piece, new_head, new_next_piece)
), written AS (
    SELECT * FROM unnest($18::bigint[], $19::text[], $20::text[], $21::text[], $22::bytea[])
        AS w (ns, checkpoint_id, task_id, task_path, data)
), lease AS (
    SELECT a.ns, l.stop FROM asked AS a
    JOIN @schema.perdure_leases AS l USING (thread_id, holder, generation)
    ORDER BY l.thread_id FOR SHARE OF l
), clash AS (
    SELECT w.ns FROM written AS t JOIN @schema.perdure_writes AS w USING (ns, checkpoint_id, task_id)
), guard AS (
    -- By IN, which is answered by a hash: joins of what can't be estimated would be loops.
    UPDATE @schema.perdure_namespaces AS n SET head = a.new_head, next_piece = a.new_next_piece
    FROM asked AS a
    WHERE n.ns = a.ns AND n.head IS NOT DISTINCT FROM a.head AND n.next_piece = a.next_piece
        AND (a.thread_id IS NULL OR a.ns IN (SELECT ns FROM lease))
        AND a.ns NOT IN (SELECT ns FROM clash)
    RETURNING n.ns
), checkpoints AS (
    INSERT INTO @schema.perdure_checkpoints (ns, checkpoint_id, parent_id, run_id, metadata, record)
    SELECT c.ns, c.checkpoint_id, c.parent_id, c.run_id, c.metadata, c.record
    FROM guard JOIN unnest($9::bigint[], $10::text[], $11::text[], $12::text[], $13::jsonb[], $14::bytea[])
        AS c (ns, checkpoint_id, parent_id, run_id, metadata, record) USING (ns)
), pieces AS (
    INSERT INTO @schema.perdure_pieces (ns, piece, data)
    SELECT p.ns, p.piece, p.data
    FROM guard JOIN unnest($15::bigint[], $16::bigint[], $17::bytea[]) AS p (ns, piece, data) USING (ns)
), writes AS (
    INSERT INTO @schema.perdure_writes (ns, checkpoint_id, task_id, task_path, data)
    SELECT w.ns, w.checkpoint_id, w.task_id, w.task_path, w.data FROM guard JOIN written AS w USING (ns)
)
SELECT ns, ns IN (SELECT ns FROM lease WHERE stop) FROM guard;

-- name: append_writes
-- Store writes on top of the head, of tasks that have none yet.
WITH lease AS (
    SELECT stop FROM @schema.perdure_leases WHERE thread_id = $1 AND holder = $2 AND generation = $3 FOR SHARE
), guard AS (
    SELECT ns FROM @schema.perdure_namespaces
    WHERE ns = $4 AND head = $5
        AND ($1::text IS NULL OR EXISTS (SELECT 1 FROM lease))
        AND NOT EXISTS (
            SELECT 1 FROM @schema.perdure_writes
            WHERE ns = $4 AND checkpoint_id = ANY ($6::text[]) AND task_id = ANY ($7::text[])
        )
    FOR SHARE
), writes AS (
    INSERT INTO @schema.perdure_writes (ns, checkpoint_id, task_id, task_path, data)
    SELECT guard.ns, w.checkpoint_id, w.task_id, w.task_path, w.data
    FROM guard, unnest($6::text[], $7::text[], $8::text[], $9::bytea[])
        AS w (checkpoint_id, task_id, task_path, data)
)
SELECT coalesce((SELECT stop FROM lease), false) FROM guard;

-- name: known
-- What an append must know.
SELECT n.ns, n.head, n.next_piece, c.record
FROM @schema.perdure_namespaces AS n
LEFT JOIN @schema.perdure_checkpoints AS c ON c.ns = n.ns AND c.checkpoint_id = n.head
WHERE n.thread_id = $1 AND n.checkpoint_ns = $2;

-- name: guard
-- The namespace is locked by then, by `add_namespace`. A statement of its own, so that it sees what came before the lock.
SELECT
    n.ns, n.head, n.next_piece,
    (SELECT record FROM @schema.perdure_checkpoints WHERE ns = n.ns AND checkpoint_id = $3::text),
    EXISTS (
        SELECT 1 FROM @schema.perdure_checkpoints
        WHERE ns = n.ns AND checkpoint_id = $4::text AND parent_id IS NOT DISTINCT FROM $3::text
    )
FROM @schema.perdure_namespaces AS n WHERE n.thread_id = $1 AND n.checkpoint_ns = $2;

-- name: add_namespace
-- Make the namespace or find it, and lock it in any case.
INSERT INTO @schema.perdure_namespaces AS n (thread_id, checkpoint_ns) VALUES ($1, $2)
ON CONFLICT (thread_id, checkpoint_ns) DO UPDATE SET head = n.head RETURNING ns;

-- name: find_namespace
SELECT ns FROM @schema.perdure_namespaces WHERE thread_id = $1 AND checkpoint_ns = $2 FOR UPDATE;

-- name: place_of_namespace
SELECT thread_id, checkpoint_ns FROM @schema.perdure_namespaces WHERE ns = $1;

-- name: namespaces_of_thread
SELECT ns, checkpoint_ns FROM @schema.perdure_namespaces WHERE thread_id = $1 ORDER BY ns FOR UPDATE;

-- name: advance
UPDATE @schema.perdure_namespaces SET head = greatest(head, $2::text), next_piece = $3 WHERE ns = $1;

-- name: settle
UPDATE @schema.perdure_namespaces AS n SET
    head = (SELECT max(checkpoint_id) FROM @schema.perdure_checkpoints WHERE ns = $1),
    next_piece = 1 + greatest(
        next_piece, (SELECT coalesce(max(piece) + 1, 0) FROM @schema.perdure_pieces WHERE ns = $1)
    )
WHERE ns = $1;

-- name: add_checkpoint
INSERT INTO @schema.perdure_checkpoints (ns, checkpoint_id, parent_id, run_id, record, metadata)
VALUES ($1, $2, $3, $4, $5, $6::jsonb)
ON CONFLICT (ns, checkpoint_id) DO UPDATE SET
    parent_id = excluded.parent_id, run_id = excluded.run_id, metadata = excluded.metadata, record = excluded.record;

-- name: add_piece
INSERT INTO @schema.perdure_pieces (ns, piece, data) VALUES ($1, $2, $3);

-- name: change_piece
UPDATE @schema.perdure_pieces SET data = $3 WHERE ns = $1 AND piece = $2;

-- name: add_writes
INSERT INTO @schema.perdure_writes (ns, checkpoint_id, task_id, task_path, data) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (ns, checkpoint_id, task_id) DO NOTHING
RETURNING 1;

-- name: find_writes
SELECT task_path, data FROM @schema.perdure_writes WHERE ns = $1 AND checkpoint_id = $2 AND task_id = $3;

-- name: change_writes
UPDATE @schema.perdure_writes SET data = $1 WHERE ns = $2 AND checkpoint_id = $3 AND task_id = $4;

-- name: head
SELECT head FROM @schema.perdure_namespaces WHERE thread_id = $1 AND checkpoint_ns = $2;

-- name: one_checkpoint
-- A checkpoint, or the head if the id is NULL, and then its writes: rows of tasks, and the next record if it may have some
-- too. In one statement, so that they belong together.
WITH c AS (
    SELECT c.ns, c.checkpoint_id, c.parent_id, c.record
    FROM @schema.perdure_namespaces AS n
    JOIN @schema.perdure_checkpoints AS c ON c.ns = n.ns AND c.checkpoint_id = coalesce($3::text, n.head)
    WHERE n.thread_id = $1 AND n.checkpoint_ns = $2
)
SELECT c.ns, c.checkpoint_id, c.parent_id, c.record FROM c
UNION ALL
SELECT NULL, w.task_id, w.task_path, w.data
FROM c JOIN @schema.perdure_writes AS w ON w.ns = c.ns AND w.checkpoint_id = c.checkpoint_id
UNION ALL
SELECT NULL, s.checkpoint_id, NULL, s.record FROM c CROSS JOIN LATERAL (
    SELECT s.checkpoint_id, s.parent_id, s.record FROM @schema.perdure_checkpoints AS s
    WHERE s.ns = c.ns AND s.checkpoint_id > c.checkpoint_id ORDER BY s.checkpoint_id LIMIT 1
) AS s
WHERE s.parent_id = c.checkpoint_id;

-- name: pieces
SELECT ns, piece, data FROM @schema.perdure_pieces WHERE ns = $1 AND piece = ANY ($2::bigint[]);

-- name: pieces_of_several
SELECT p.ns, p.piece, p.data
FROM unnest($1::bigint[], $2::bigint[]) AS k (ns, piece) JOIN @schema.perdure_pieces AS p USING (ns, piece);

-- name: writes_of_checkpoint
SELECT task_id, task_path, data FROM @schema.perdure_writes WHERE ns = $1 AND checkpoint_id = $2
UNION ALL
SELECT checkpoint_id, NULL, record FROM (
    SELECT checkpoint_id, parent_id, record FROM @schema.perdure_checkpoints
    WHERE ns = $1 AND checkpoint_id > $2 ORDER BY checkpoint_id LIMIT 1
) AS s
WHERE parent_id = $2;

-- name: from_checkpoint
SELECT checkpoint_id, parent_id, record FROM @schema.perdure_checkpoints
WHERE ns = $1 AND checkpoint_id >= $2 ORDER BY checkpoint_id LIMIT 2;

-- name: has_checkpoint
SELECT 1 FROM @schema.perdure_checkpoints WHERE ns = $1 AND checkpoint_id = $2;

-- name: change_record
UPDATE @schema.perdure_checkpoints SET record = $1 WHERE ns = $2 AND checkpoint_id = $3;

-- name: change_metadata
UPDATE @schema.perdure_checkpoints SET metadata = $3::jsonb
WHERE ns = $1 AND checkpoint_id = $2 AND metadata IS DISTINCT FROM $3::jsonb;

-- name: older_records
SELECT checkpoint_id, record FROM @schema.perdure_checkpoints
WHERE ns = $1 AND checkpoint_id < $2 ORDER BY checkpoint_id DESC LIMIT $3;

-- name: page_of_namespace
-- The namespace's number by subquery, and a bound in any case: so the index gives the order, and a page begins at once.
SELECT c.ns, $1::text, $2::text, c.checkpoint_id, c.parent_id, c.record
FROM @schema.perdure_checkpoints AS c
WHERE c.ns = (SELECT ns FROM @schema.perdure_namespaces WHERE thread_id = $1 AND checkpoint_ns = $2)
    AND c.checkpoint_id < coalesce(
        $4::text, (SELECT head || '!' FROM @schema.perdure_namespaces WHERE thread_id = $1 AND checkpoint_ns = $2)
    )
    AND c.checkpoint_id >= coalesce($3::text, '') AND ($3::text IS NULL OR c.checkpoint_id = $3)
    AND ($6::jsonb IS NULL OR c.metadata @> $6::jsonb OR c.metadata @> '{"": 0}')
ORDER BY c.checkpoint_id DESC LIMIT $5::bigint;

-- name: page_of_thread
SELECT c.ns, n.thread_id, n.checkpoint_ns, c.checkpoint_id, c.parent_id, c.record
FROM @schema.perdure_namespaces AS n JOIN @schema.perdure_checkpoints AS c ON c.ns = n.ns
WHERE n.thread_id = $1 AND ($2::text IS NULL OR c.checkpoint_id = $2)
    AND ($3::text IS NULL OR (c.checkpoint_id, c.ns) < ($3, $4::bigint))
    AND ($6::jsonb IS NULL OR c.metadata @> $6::jsonb OR c.metadata @> '{"": 0}')
ORDER BY c.checkpoint_id DESC, c.ns DESC LIMIT $5::bigint;

-- name: page_of_all
SELECT c.ns, n.thread_id, n.checkpoint_ns, c.checkpoint_id, c.parent_id, c.record
FROM @schema.perdure_namespaces AS n JOIN @schema.perdure_checkpoints AS c ON c.ns = n.ns
WHERE ($1::text IS NULL OR n.checkpoint_ns = $1) AND ($2::text IS NULL OR c.checkpoint_id = $2)
    AND ($3::text IS NULL OR (c.checkpoint_id, c.ns) < ($3, $4::bigint))
ORDER BY c.checkpoint_id DESC, c.ns DESC LIMIT $5::bigint;

-- name: page_of_all_filtered
SELECT c.ns, n.thread_id, n.checkpoint_ns, c.checkpoint_id, c.parent_id, c.record
FROM @schema.perdure_namespaces AS n JOIN @schema.perdure_checkpoints AS c ON c.ns = n.ns
WHERE ($1::text IS NULL OR n.checkpoint_ns = $1) AND ($2::text IS NULL OR c.checkpoint_id = $2)
    AND ($3::text IS NULL OR (c.checkpoint_id, c.ns) < ($3, $4::bigint))
    AND (c.metadata @> $6::jsonb OR c.metadata @> '{"": 0}')
ORDER BY c.checkpoint_id DESC, c.ns DESC LIMIT $5::bigint;

-- name: threads
SELECT DISTINCT thread_id FROM @schema.perdure_namespaces
WHERE head IS NOT NULL AND thread_id >= coalesce($1::text, '') AND ($1::text IS NULL OR thread_id > $1)
ORDER BY thread_id LIMIT $2::bigint;

-- name: checkpoints_of_run
SELECT c.ns, c.checkpoint_id
FROM @schema.perdure_checkpoints AS c JOIN @schema.perdure_namespaces AS n ON n.ns = c.ns
WHERE c.run_id = $1 ORDER BY n.ns FOR UPDATE OF n;

-- name: delete_checkpoint
DELETE FROM @schema.perdure_checkpoints WHERE ns = $1 AND checkpoint_id = $2;

-- name: delete_writes_of_checkpoint
DELETE FROM @schema.perdure_writes WHERE ns = $1 AND checkpoint_id = $2;

-- name: delete_checkpoints
DELETE FROM @schema.perdure_checkpoints WHERE ns = $1 AND checkpoint_id = ANY ($2::text[]);

-- name: delete_writes_of_checkpoints
DELETE FROM @schema.perdure_writes WHERE ns = $1 AND checkpoint_id = ANY ($2::text[]);

-- name: tree_of_namespace
SELECT checkpoint_id, parent_id FROM @schema.perdure_checkpoints WHERE ns = $1;

-- name: records_of_namespace
SELECT checkpoint_id, parent_id, run_id, record, metadata::text
FROM @schema.perdure_checkpoints WHERE ns = $1 ORDER BY checkpoint_id;

-- name: writes_of_namespace
SELECT checkpoint_id, task_id, task_path, data FROM @schema.perdure_writes WHERE ns = $1;

-- name: pieces_of_namespace
SELECT piece FROM @schema.perdure_pieces WHERE ns = $1;

-- name: next_piece_of_namespace
SELECT next_piece FROM @schema.perdure_namespaces WHERE ns = $1;

-- name: delete_piece
DELETE FROM @schema.perdure_pieces WHERE ns = $1 AND piece = $2;

-- name: delete_namespace_checkpoints
DELETE FROM @schema.perdure_checkpoints WHERE ns = $1;

-- name: delete_namespace_writes
DELETE FROM @schema.perdure_writes WHERE ns = $1;

-- name: delete_namespace_pieces
DELETE FROM @schema.perdure_pieces WHERE ns = $1;

-- name: delete_namespace
DELETE FROM @schema.perdure_namespaces WHERE ns = $1;

-- name: copy_pieces
INSERT INTO @schema.perdure_pieces (ns, piece, data)
SELECT $2::bigint, piece + $3::bigint, data FROM @schema.perdure_pieces WHERE ns = $1;

-- name: lease
-- Locked against a change of hands until the commit that asks for it has ended.
SELECT holder, generation, expires_at, stop FROM @schema.perdure_leases WHERE thread_id = $1 FOR SHARE;

-- name: acquire_lease
-- By the server's clock: those of the clients may differ.
INSERT INTO @schema.perdure_leases AS l (thread_id, holder, generation, expires_at, stop)
VALUES ($1, $2, 1, clock_timestamp() + $3::float8 * interval '1 second', false)
ON CONFLICT (thread_id) DO UPDATE SET
    holder = excluded.holder,
    generation = l.generation + CASE WHEN l.holder = excluded.holder THEN 0 ELSE 1 END,
    expires_at = excluded.expires_at,
    stop = l.stop AND l.holder = excluded.holder
WHERE l.holder IN ('', excluded.holder) OR l.expires_at <= clock_timestamp()
RETURNING generation;

-- name: lease_holder
SELECT holder, generation FROM @schema.perdure_leases WHERE thread_id = $1;

-- name: inherit_lease
-- Of a holder that is known to be dead.
UPDATE @schema.perdure_leases SET
    holder = $2, generation = generation + 1, expires_at = clock_timestamp() + $3::float8 * interval '1 second',
    stop = false
WHERE thread_id = $1 AND holder = $4 AND generation = $5
RETURNING generation;

-- name: renew_lease
-- This one and the next two need no fsync, for a crash of the server may cost a delay: until the lease expires. The setting
-- ends with the transaction, so they must not share one with anything else.
UPDATE @schema.perdure_leases SET expires_at = clock_timestamp() + $1::float8 * interval '1 second'
WHERE thread_id = $2 AND holder = $3 AND generation = $4
    AND (SELECT set_config('synchronous_commit', 'off', true)) IS NOT NULL
RETURNING stop;

-- name: release_lease
UPDATE @schema.perdure_leases SET holder = '', expires_at = clock_timestamp(), stop = false
WHERE thread_id = $1 AND holder = $2 AND generation = $3
    AND (SELECT set_config('synchronous_commit', 'off', true)) IS NOT NULL;

-- name: request_stop
UPDATE @schema.perdure_leases SET stop = true
WHERE thread_id = $1 AND holder <> ''
    AND (SELECT set_config('synchronous_commit', 'off', true)) IS NOT NULL;

-- name: delete_lease
DELETE FROM @schema.perdure_leases WHERE thread_id = $1;

-- name: rules
-- Who deletes asks behind the lock of the namespaces, and in a statement of its own, so that it sees a hold set before that.
SELECT ttl, hold FROM @schema.perdure_rules WHERE thread_id = $1;

-- name: set_rules
-- Only what is given: who sets a time to live never takes back a hold.
INSERT INTO @schema.perdure_rules AS r (thread_id, ttl, hold) VALUES ($1, $2, $3)
ON CONFLICT (thread_id) DO UPDATE SET
    ttl = CASE WHEN $4::boolean THEN excluded.ttl ELSE r.ttl END,
    hold = CASE WHEN $5::boolean THEN excluded.hold ELSE r.hold END
RETURNING ttl, hold;

-- name: delete_rules
DELETE FROM @schema.perdure_rules WHERE thread_id = $1 AND hold IS NULL;

-- name: all_rules
SELECT thread_id, ttl, hold FROM @schema.perdure_rules
WHERE thread_id >= coalesce($1::text, '') AND ($1::text IS NULL OR thread_id > $1)
    AND (NOT $3::boolean OR hold IS NOT NULL)
ORDER BY thread_id LIMIT $2::bigint;

-- name: diagnose
SELECT current_setting('server_version'), current_setting('server_version_num')::int, current_setting('synchronous_commit'),
    current_setting('fsync'), current_setting('full_page_writes'), extract(epoch FROM clock_timestamp())::float8,
    pg_is_in_recovery(),
    (
        SELECT bool_and(has_table_privilege(t, p))
        FROM unnest(ARRAY['@schema.perdure_namespaces', '@schema.perdure_checkpoints', '@schema.perdure_pieces',
            '@schema.perdure_writes', '@schema.perdure_leases', '@schema.perdure_rules']) AS t,
            unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p
    ),
    (SELECT max(version) FROM @schema.perdure_migrations), pg_database_size(current_database());

-- name: heads
SELECT ns, thread_id, checkpoint_ns, head, next_piece FROM @schema.perdure_namespaces
WHERE head IS NOT NULL ORDER BY head DESC LIMIT $1::bigint;

-- name: news
SELECT count(*), coalesce(sum(length(record)), 0)::bigint + coalesce(
    (SELECT sum(length(data)) FROM @schema.perdure_pieces WHERE ns = $1 AND piece >= $3), 0
)::bigint
FROM @schema.perdure_checkpoints WHERE ns = $1 AND checkpoint_id > $2;

-- name: leases_held
SELECT thread_id, holder FROM @schema.perdure_leases WHERE holder <> '' AND expires_at > clock_timestamp();
