-- name: guard
-- Everything that a commit must know. Scalar subqueries: as joins they take six times as long.
SELECT
    n.ns,
    (SELECT max(checkpoint_id) FROM perdure_checkpoints WHERE ns = n.ns) AS head,
    max(
        ifnull((SELECT max(piece) FROM perdure_pieces WHERE piece BETWEEN n.ns << 32 AND (n.ns << 32) + 4294967295), -1),
        ifnull((SELECT max(key) FROM perdure_checkpoints WHERE key BETWEEN n.ns << 32 AND (n.ns << 32) + 4294967295), -1)
    ) + 1 & 4294967295 AS next_piece,
    (SELECT record FROM perdure_checkpoints WHERE ns = n.ns AND checkpoint_id = ?3) AS parent,
    EXISTS (SELECT 1 FROM perdure_checkpoints WHERE ns = n.ns AND checkpoint_id = ?4 AND parent_id IS ?3) AS done
FROM perdure_namespaces AS n WHERE n.thread_id = ?1 AND n.checkpoint_ns = ?2;

-- name: find_namespace
SELECT ns FROM perdure_namespaces WHERE thread_id = ? AND checkpoint_ns = ?;

-- name: add_namespace
INSERT INTO perdure_namespaces (thread_id, checkpoint_ns) VALUES (?, ?) RETURNING ns;

-- name: place_of_namespace
SELECT thread_id, checkpoint_ns FROM perdure_namespaces WHERE ns = ?;

-- name: namespaces_of_thread
SELECT ns, checkpoint_ns FROM perdure_namespaces WHERE thread_id = ?;

-- name: append_checkpoint
INSERT INTO perdure_checkpoints (ns, checkpoint_id, parent_id, run_id, record, key, piece) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: add_checkpoint
INSERT INTO perdure_checkpoints (ns, checkpoint_id, parent_id, run_id, record, key, piece)
-- Without a key it gets the next.
VALUES (?1, ?2, ?3, ?4, ?5, coalesce(?6, 1 + max(
    ifnull((SELECT max(piece) FROM perdure_pieces WHERE piece BETWEEN ?1 << 32 AND (?1 << 32) + 4294967295), 0),
    ifnull((SELECT max(key) FROM perdure_checkpoints WHERE key BETWEEN ?1 << 32 AND (?1 << 32) + 4294967295), 0),
    (?1 << 32) - 1
)), ?7)
-- The key and the piece of one that is replaced stay: others may need the piece.
ON CONFLICT (ns, checkpoint_id) DO UPDATE
SET parent_id = excluded.parent_id, run_id = excluded.run_id, record = excluded.record;

-- name: add_piece
INSERT INTO perdure_pieces (piece, data) VALUES (?, ?);

-- name: change_piece
UPDATE perdure_pieces SET data = ? WHERE piece = ?;

-- name: change_piece_beside
UPDATE perdure_checkpoints SET piece = ? WHERE key = ? AND piece IS NOT NULL;

-- name: add_writes
INSERT INTO perdure_writes (ns, checkpoint_id, task_id, task_path, data) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (ns, checkpoint_id, task_id) DO NOTHING
RETURNING 1;

-- name: find_writes
SELECT task_path, data FROM perdure_writes WHERE ns = ? AND checkpoint_id = ? AND task_id = ?;

-- name: change_writes
UPDATE perdure_writes SET data = ? WHERE ns = ? AND checkpoint_id = ? AND task_id = ?;

-- name: head
-- A namespace's number by a subquery, here and below: a join takes ten times as long.
SELECT max(checkpoint_id) FROM perdure_checkpoints
WHERE ns = (SELECT ns FROM perdure_namespaces WHERE thread_id = ?1 AND checkpoint_ns = ?2);

-- name: latest_checkpoint
SELECT ns, checkpoint_id, parent_id, record FROM perdure_checkpoints
WHERE ns = (SELECT ns FROM perdure_namespaces WHERE thread_id = ?1 AND checkpoint_ns = ?2)
ORDER BY checkpoint_id DESC LIMIT 1;

-- name: one_checkpoint
SELECT ns, checkpoint_id, parent_id, record FROM perdure_checkpoints
WHERE ns = (SELECT ns FROM perdure_namespaces WHERE thread_id = ?1 AND checkpoint_ns = ?2) AND checkpoint_id = ?3;

-- name: pieces
SELECT piece >> 32, piece & 4294967295, data FROM perdure_pieces WHERE piece IN (SELECT value FROM json_each(?1))
UNION ALL
SELECT key >> 32, key & 4294967295, piece FROM perdure_checkpoints
WHERE key IN (SELECT value FROM json_each(?1)) AND piece IS NOT NULL;

-- name: writes_at
-- Those of a checkpoint, or of the head if its id is NULL: rows of tasks, and the next record if it may have some too.
SELECT w.task_id, w.task_path, w.data FROM perdure_writes AS w
WHERE w.ns = (SELECT ns FROM perdure_namespaces WHERE thread_id = ?1 AND checkpoint_ns = ?2)
    AND w.checkpoint_id = coalesce(?3, (SELECT max(c.checkpoint_id) FROM perdure_checkpoints AS c WHERE c.ns = w.ns))
UNION ALL
SELECT c.checkpoint_id, NULL, c.record FROM perdure_checkpoints AS c
WHERE c.ns = (SELECT ns FROM perdure_namespaces WHERE thread_id = ?1 AND checkpoint_ns = ?2) AND c.parent_id = ?3
    AND c.checkpoint_id = (
        SELECT min(o.checkpoint_id) FROM perdure_checkpoints AS o WHERE o.ns = c.ns AND o.checkpoint_id > ?3);

-- name: writes_of_checkpoint
SELECT task_id, task_path, data FROM perdure_writes WHERE ns = ?1 AND checkpoint_id = ?2
UNION ALL
SELECT checkpoint_id, NULL, record FROM perdure_checkpoints
WHERE ns = ?1 AND parent_id = ?2
    AND checkpoint_id = (SELECT min(checkpoint_id) FROM perdure_checkpoints WHERE ns = ?1 AND checkpoint_id > ?2);

-- name: from_checkpoint
SELECT checkpoint_id, parent_id, record FROM perdure_checkpoints
WHERE ns = ? AND checkpoint_id >= ? ORDER BY checkpoint_id LIMIT 2;

-- name: has_checkpoint
SELECT 1 FROM perdure_checkpoints WHERE ns = ? AND checkpoint_id = ?;

-- name: change_record
UPDATE perdure_checkpoints SET record = ? WHERE ns = ? AND checkpoint_id = ?;

-- name: older_records
SELECT checkpoint_id, record FROM perdure_checkpoints
WHERE ns = ? AND checkpoint_id < ? ORDER BY checkpoint_id DESC LIMIT ?;

-- name: page_of_namespace
SELECT ns, ?1, ?2, checkpoint_id, parent_id, record FROM perdure_checkpoints
WHERE ns = (SELECT ns FROM perdure_namespaces WHERE thread_id = ?1 AND checkpoint_ns = ?2)
    AND (?3 IS NULL OR checkpoint_id = ?3) AND (?4 IS NULL OR checkpoint_id < ?4 OR (checkpoint_id = ?4 AND ns < ?5))
ORDER BY checkpoint_id DESC LIMIT ?6;

-- name: page_of_thread
SELECT c.ns, n.thread_id, n.checkpoint_ns, c.checkpoint_id, c.parent_id, c.record
FROM perdure_namespaces AS n JOIN perdure_checkpoints AS c ON c.ns = n.ns
WHERE n.thread_id = ?1 AND (?3 IS NULL OR c.checkpoint_id = ?3)
    AND (?4 IS NULL OR c.checkpoint_id < ?4 OR (c.checkpoint_id = ?4 AND c.ns < ?5))
ORDER BY c.checkpoint_id DESC, c.ns DESC LIMIT ?6;

-- name: page_of_all
SELECT c.ns, n.thread_id, n.checkpoint_ns, c.checkpoint_id, c.parent_id, c.record
FROM perdure_namespaces AS n JOIN perdure_checkpoints AS c ON c.ns = n.ns
WHERE (?2 IS NULL OR n.checkpoint_ns = ?2) AND (?3 IS NULL OR c.checkpoint_id = ?3)
    AND (?4 IS NULL OR c.checkpoint_id < ?4 OR (c.checkpoint_id = ?4 AND c.ns < ?5))
ORDER BY c.checkpoint_id DESC, c.ns DESC LIMIT ?6;

-- name: threads
SELECT DISTINCT n.thread_id FROM perdure_namespaces AS n
WHERE (?1 IS NULL OR n.thread_id > ?1)
    AND EXISTS (SELECT 1 FROM perdure_checkpoints AS c WHERE c.ns = n.ns)
ORDER BY n.thread_id LIMIT ?2;

-- name: checkpoints_of_run
SELECT ns, checkpoint_id FROM perdure_checkpoints WHERE run_id = ?;

-- name: keep_piece
-- Of a checkpoint that is deleted: others may need it.
INSERT INTO perdure_pieces (piece, data)
SELECT key, piece FROM perdure_checkpoints WHERE ns = ? AND checkpoint_id = ? AND piece IS NOT NULL;

-- name: delete_checkpoint
DELETE FROM perdure_checkpoints WHERE ns = ? AND checkpoint_id = ?;

-- name: delete_writes_of_checkpoint
DELETE FROM perdure_writes WHERE ns = ? AND checkpoint_id = ?;

-- name: tree_of_namespace
SELECT checkpoint_id, parent_id FROM perdure_checkpoints WHERE ns = ?;

-- name: records_of_namespace
-- A copy gets another key, and its piece is copied by itself.
SELECT checkpoint_id, parent_id, run_id, record, NULL AS key, NULL AS piece
FROM perdure_checkpoints WHERE ns = ? ORDER BY checkpoint_id;

-- name: writes_of_namespace
SELECT checkpoint_id, task_id, task_path, data FROM perdure_writes WHERE ns = ?1;

-- name: pieces_of_namespace
SELECT piece & 4294967295 FROM perdure_pieces WHERE piece BETWEEN ?1 << 32 AND (?1 << 32) + 4294967295
UNION ALL
SELECT key & 4294967295 FROM perdure_checkpoints
WHERE key BETWEEN ?1 << 32 AND (?1 << 32) + 4294967295 AND piece IS NOT NULL;

-- name: next_piece_of_namespace
SELECT max(
    ifnull((SELECT max(piece) FROM perdure_pieces WHERE piece BETWEEN ?1 << 32 AND (?1 << 32) + 4294967295), -1),
    ifnull((SELECT max(key) FROM perdure_checkpoints WHERE key BETWEEN ?1 << 32 AND (?1 << 32) + 4294967295), -1)
) + 1 & 4294967295;

-- name: delete_piece
DELETE FROM perdure_pieces WHERE piece = (?1 << 32) + ?2;

-- name: empty_piece
UPDATE perdure_checkpoints SET piece = NULL WHERE key = (?1 << 32) + ?2;

-- name: delete_namespace_checkpoints
DELETE FROM perdure_checkpoints WHERE ns = ?;

-- name: delete_namespace_writes
DELETE FROM perdure_writes WHERE ns = ?;

-- name: delete_namespace_pieces
DELETE FROM perdure_pieces WHERE piece BETWEEN ?1 << 32 AND (?1 << 32) + 4294967295;

-- name: delete_namespace
DELETE FROM perdure_namespaces WHERE ns = ?;

-- name: copy_pieces
INSERT INTO perdure_pieces (piece, data)
SELECT (?2 << 32) + (piece & 4294967295) + ?3, data
FROM perdure_pieces WHERE piece BETWEEN ?1 << 32 AND (?1 << 32) + 4294967295
UNION ALL
SELECT (?2 << 32) + (key & 4294967295) + ?3, piece
FROM perdure_checkpoints WHERE key BETWEEN ?1 << 32 AND (?1 << 32) + 4294967295 AND piece IS NOT NULL;

-- name: lease
SELECT holder, generation, expires_at, stop FROM perdure_leases WHERE thread_id = ?;

-- name: take_lease
INSERT INTO perdure_leases (thread_id, holder, generation, expires_at, stop) VALUES (?, ?, ?, ?, 0)
ON CONFLICT (thread_id) DO UPDATE
SET holder = excluded.holder, generation = excluded.generation, expires_at = excluded.expires_at, stop = 0;

-- name: renew_lease
UPDATE perdure_leases SET expires_at = ? WHERE thread_id = ? AND holder = ? AND generation = ? RETURNING stop;

-- name: release_lease
UPDATE perdure_leases SET holder = '', expires_at = 0, stop = 0 WHERE thread_id = ? AND holder = ? AND generation = ?;

-- name: request_stop
UPDATE perdure_leases SET stop = 1 WHERE thread_id = ? AND holder <> '';

-- name: delete_lease
DELETE FROM perdure_leases WHERE thread_id = ?;

-- name: rules
SELECT ttl, hold FROM perdure_rules WHERE thread_id = ?;

-- name: set_rules
-- Only what is given: who sets a time to live never takes back a hold.
INSERT INTO perdure_rules AS r (thread_id, ttl, hold) VALUES (?1, ?2, ?3)
ON CONFLICT (thread_id) DO UPDATE SET
    ttl = CASE WHEN ?4 THEN excluded.ttl ELSE r.ttl END, hold = CASE WHEN ?5 THEN excluded.hold ELSE r.hold END
RETURNING ttl, hold;

-- name: delete_rules
DELETE FROM perdure_rules WHERE thread_id = ? AND hold IS NULL;

-- name: all_rules
SELECT thread_id, ttl, hold FROM perdure_rules
WHERE (?1 IS NULL OR thread_id > ?1) AND (NOT ?3 OR hold IS NOT NULL) ORDER BY thread_id LIMIT ?2;

-- name: diagnose
SELECT sqlite_version(),
    (SELECT journal_mode FROM pragma_journal_mode),
    (SELECT synchronous FROM pragma_synchronous),
    (SELECT max(version) FROM perdure_migrations),
    (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size),
    (SELECT freelist_count FROM pragma_freelist_count) * (SELECT page_size FROM pragma_page_size);

-- name: heads
-- Some look-ups in indexes for each namespace: all checkpoints are never read.
SELECT n.ns, n.thread_id, n.checkpoint_ns,
    (SELECT checkpoint_id FROM perdure_checkpoints WHERE ns = n.ns ORDER BY checkpoint_id DESC LIMIT 1) AS head,
    max(
        ifnull((SELECT max(piece) FROM perdure_pieces WHERE piece BETWEEN n.ns << 32 AND (n.ns << 32) + 4294967295), -1),
        ifnull((SELECT max(key) FROM perdure_checkpoints WHERE key BETWEEN n.ns << 32 AND (n.ns << 32) + 4294967295), -1)
    ) + 1 & 4294967295
FROM perdure_namespaces AS n WHERE head IS NOT NULL ORDER BY head DESC LIMIT ?;

-- name: news
SELECT count(*), ifnull(sum(length(record) + ifnull(length(piece), 0)), 0) + ifnull(
    (SELECT sum(length(data)) FROM perdure_pieces WHERE piece BETWEEN (?1 << 32) + ?3 AND (?1 << 32) + 4294967295), 0
)
FROM perdure_checkpoints WHERE ns = ?1 AND checkpoint_id > ?2;

-- name: leases_held
SELECT thread_id, holder FROM perdure_leases WHERE holder <> '' AND expires_at > unixepoch('subsec');
