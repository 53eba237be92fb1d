-- name: get
SELECT item, namespace, key, kind, value, created_at, updated_at, ttl FROM perdure_store_items
WHERE namespace = ?1 AND key = ?2 AND (expires_at IS NULL OR expires_at > ?3);

-- name: below
SELECT item, namespace, key, kind, value, created_at, updated_at, ttl FROM perdure_store_items
WHERE namespace >= ?1 AND namespace < ?2 AND (expires_at IS NULL OR expires_at > ?3)
ORDER BY updated_at DESC, namespace DESC, key DESC LIMIT ?4;

-- name: vectors_below
SELECT v.item, v.vector FROM perdure_store_items AS i JOIN perdure_store_vectors AS v ON v.item = i.item
WHERE i.namespace >= ? AND i.namespace < ? ORDER BY v.item, v.place;

-- name: namespaces
SELECT DISTINCT namespace FROM perdure_store_items
WHERE namespace >= ?1 AND namespace < ?2 AND (expires_at IS NULL OR expires_at > ?3);

-- name: put_item
-- What is replaced keeps its first time, unless it had expired.
INSERT INTO perdure_store_items (namespace, key, kind, value, created_at, updated_at, expires_at, ttl)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (namespace, key) DO UPDATE SET kind = excluded.kind, value = excluded.value,
    created_at = CASE WHEN perdure_store_items.expires_at <= ?9 THEN excluded.created_at
        ELSE perdure_store_items.created_at END,
    updated_at = excluded.updated_at, expires_at = excluded.expires_at, ttl = excluded.ttl;

-- name: put_vector
INSERT INTO perdure_store_vectors (item, place, vector)
SELECT item, ?3, ?4 FROM perdure_store_items WHERE namespace = ?1 AND key = ?2;

-- name: delete_vectors_of_item
DELETE FROM perdure_store_vectors
WHERE item = (SELECT item FROM perdure_store_items WHERE namespace = ? AND key = ?);

-- name: delete_item
DELETE FROM perdure_store_items WHERE namespace = ? AND key = ?;

-- name: items_behind
SELECT item, kind, value FROM perdure_store_items WHERE item > ? ORDER BY item LIMIT ?;

-- name: change_value
UPDATE perdure_store_items SET kind = ?, value = ? WHERE item = ? AND value = ?;

-- name: refresh
UPDATE perdure_store_items SET expires_at = ?1 + ttl * 60 WHERE item = ?2 AND ttl IS NOT NULL;

-- name: life
SELECT created_at, updated_at, expires_at, ttl FROM perdure_store_items
WHERE namespace = ?1 AND key = ?2 AND (expires_at IS NULL OR expires_at > ?3);

-- name: set_life
UPDATE perdure_store_items SET created_at = ?3, updated_at = ?4, expires_at = ?5, ttl = ?6
WHERE namespace = ?1 AND key = ?2;

-- name: sweep_vectors
DELETE FROM perdure_store_vectors WHERE item IN (SELECT item FROM perdure_store_items WHERE expires_at <= ?);

-- name: sweep
DELETE FROM perdure_store_items WHERE expires_at <= ? RETURNING item;

-- name: without_vectors
SELECT i.item, i.namespace, i.key, i.kind, i.value, i.created_at, i.updated_at, i.ttl FROM perdure_store_items AS i
WHERE i.namespace >= ?1 AND i.namespace < ?2 AND (i.expires_at IS NULL OR i.expires_at > ?3)
    AND NOT EXISTS (SELECT 1 FROM perdure_store_vectors AS v WHERE v.item = i.item AND length(v.vector) = ?4)
ORDER BY i.updated_at DESC, i.namespace DESC, i.key DESC;

-- name: nearest_cosine
SELECT i.item, i.namespace, i.key, i.kind, i.value, i.created_at, i.updated_at, i.ttl, 1.0 - n.distance
FROM (
    SELECT v.item AS item, min(coalesce(vec_distance_cosine(v.vector, ?1), 1.0)) AS distance
    FROM perdure_store_items AS i JOIN perdure_store_vectors AS v ON v.item = i.item
    WHERE i.namespace >= ?2 AND i.namespace < ?3 AND (i.expires_at IS NULL OR i.expires_at > ?4)
        AND length(v.vector) = length(?1)
    GROUP BY v.item ORDER BY distance, i.updated_at DESC, i.namespace DESC, i.key DESC LIMIT ?5
) AS n JOIN perdure_store_items AS i ON i.item = n.item
ORDER BY n.distance, i.updated_at DESC, i.namespace DESC, i.key DESC;

-- name: nearest_l2
SELECT i.item, i.namespace, i.key, i.kind, i.value, i.created_at, i.updated_at, i.ttl, -n.distance
FROM (
    SELECT v.item AS item, min(coalesce(vec_distance_l2(v.vector, ?1), 1.0)) AS distance
    FROM perdure_store_items AS i JOIN perdure_store_vectors AS v ON v.item = i.item
    WHERE i.namespace >= ?2 AND i.namespace < ?3 AND (i.expires_at IS NULL OR i.expires_at > ?4)
        AND length(v.vector) = length(?1)
    GROUP BY v.item ORDER BY distance, i.updated_at DESC, i.namespace DESC, i.key DESC LIMIT ?5
) AS n JOIN perdure_store_items AS i ON i.item = n.item
ORDER BY n.distance, i.updated_at DESC, i.namespace DESC, i.key DESC;
