-- name: get
SELECT item, namespace, key, kind, value, created_at, updated_at, ttl FROM @schema.perdure_store_items
WHERE namespace = $1 AND key = $2 AND (expires_at IS NULL OR expires_at > $3);

-- name: below
SELECT item, namespace, key, kind, value, created_at, updated_at, ttl FROM @schema.perdure_store_items
WHERE namespace >= $1 AND namespace < $2 AND (expires_at IS NULL OR expires_at > $3)
ORDER BY updated_at DESC, namespace DESC, key DESC LIMIT nullif($4::bigint, -1);

-- name: vectors_below
SELECT v.item, v.vector FROM @schema.perdure_store_items AS i JOIN @schema.perdure_store_vectors AS v ON v.item = i.item
WHERE i.namespace >= $1 AND i.namespace < $2 ORDER BY v.item, v.place;

-- name: namespaces
SELECT DISTINCT namespace FROM @schema.perdure_store_items
WHERE namespace >= $1 AND namespace < $2 AND (expires_at IS NULL OR expires_at > $3);

-- name: put_item
-- What is replaced keeps its first time, unless it had expired.
INSERT INTO @schema.perdure_store_items AS i (namespace, key, kind, value, created_at, updated_at, expires_at, ttl)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (namespace, key) DO UPDATE SET kind = excluded.kind, value = excluded.value,
    created_at = CASE WHEN i.expires_at <= $9 THEN excluded.created_at
        ELSE i.created_at END,
    updated_at = excluded.updated_at, expires_at = excluded.expires_at, ttl = excluded.ttl;

-- name: put_vector
INSERT INTO @schema.perdure_store_vectors (item, place, vector)
SELECT item, $3, $4 FROM @schema.perdure_store_items WHERE namespace = $1 AND key = $2;

-- name: delete_vectors_of_item
DELETE FROM @schema.perdure_store_vectors
WHERE item = (SELECT item FROM @schema.perdure_store_items WHERE namespace = $1 AND key = $2);

-- name: delete_item
DELETE FROM @schema.perdure_store_items WHERE namespace = $1 AND key = $2;

-- name: items_behind
SELECT item, kind, value FROM @schema.perdure_store_items WHERE item > $1 ORDER BY item LIMIT $2;

-- name: change_value
UPDATE @schema.perdure_store_items SET kind = $1, value = $2 WHERE item = $3 AND value = $4;

-- name: refresh
UPDATE @schema.perdure_store_items SET expires_at = $1 + ttl * 60 WHERE item = $2 AND ttl IS NOT NULL;

-- name: life
SELECT created_at, updated_at, expires_at, ttl FROM @schema.perdure_store_items
WHERE namespace = $1 AND key = $2 AND (expires_at IS NULL OR expires_at > $3);

-- name: set_life
UPDATE @schema.perdure_store_items SET created_at = $3, updated_at = $4, expires_at = $5, ttl = $6
WHERE namespace = $1 AND key = $2;

-- name: sweep_vectors
DELETE FROM @schema.perdure_store_vectors WHERE item IN (SELECT item FROM @schema.perdure_store_items WHERE expires_at <= $1);

-- name: sweep
DELETE FROM @schema.perdure_store_items WHERE expires_at <= $1 RETURNING item;

-- name: without_vectors
SELECT i.item, i.namespace, i.key, i.kind, i.value, i.created_at, i.updated_at, i.ttl FROM @schema.perdure_store_items AS i
WHERE i.namespace >= $1 AND i.namespace < $2 AND (i.expires_at IS NULL OR i.expires_at > $3)
    AND NOT EXISTS (SELECT 1 FROM @schema.perdure_store_vectors AS v WHERE v.item = i.item AND length(v.vector) = $4)
ORDER BY i.updated_at DESC, i.namespace DESC, i.key DESC;
