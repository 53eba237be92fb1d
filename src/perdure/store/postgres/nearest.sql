-- name: available
SELECT extversion FROM pg_extension WHERE extname = 'vector'
UNION ALL SELECT default_version FROM pg_available_extensions WHERE name = 'vector' LIMIT 1;

-- name: index_exists
SELECT to_regclass($1::text) IS NOT NULL;

-- name: index
CREATE INDEX IF NOT EXISTS @index ON @schema.perdure_store_vectors
USING @method ((embedding::@type(@dims)) @operators) @options WHERE vector_dims(embedding) = @dims;

-- name: analyse
ANALYZE @schema.perdure_store_items, @schema.perdure_store_vectors;

-- name: settings_hnsw
SELECT set_config('hnsw.iterative_scan', 'strict_order', true), set_config('hnsw.ef_search', $1::text, true);

-- name: settings_ivfflat
SELECT set_config('ivfflat.iterative_scan', 'relaxed_order', true), set_config('ivfflat.probes', $1::text, true);

-- name: nearest
-- The order is that of the index, which may hold shorter numbers, and so is the condition on the length.
WITH near AS (
    SELECT v.item, v.embedding @operator ($1::text::vector) AS distance
    FROM @schema.perdure_store_vectors AS v JOIN @schema.perdure_store_items AS i ON i.item = v.item
    WHERE vector_dims(v.embedding) = @dims AND i.namespace >= $2 AND i.namespace < $3
        AND (i.expires_at IS NULL OR i.expires_at > $4)
    ORDER BY (v.embedding::@type(@dims)) @operator ($1::text::@type(@dims)) LIMIT $5::bigint
)
SELECT i.item, i.namespace, i.key, i.kind, i.value, i.created_at, i.updated_at, i.ttl, @score
FROM near JOIN @schema.perdure_store_items AS i ON i.item = near.item
ORDER BY coalesce(nullif(near.distance, 'NaN'), 1), i.updated_at DESC, i.namespace DESC, i.key DESC;

-- name: put
INSERT INTO @schema.perdure_store_vectors (item, place, vector, embedding)
SELECT item, $3, $4, $5::text::vector FROM @schema.perdure_store_items WHERE namespace = $1 AND key = $2;

-- name: waiting
SELECT item, place, vector FROM @schema.perdure_store_vectors WHERE embedding IS NULL LIMIT 500;

-- name: bring_in
UPDATE @schema.perdure_store_vectors SET embedding = $3::text::vector WHERE item = $1 AND place = $2;
