-- name: get
SELECT kind, value FROM perdure_cache
WHERE namespace = ?1 AND key = ?2 AND (expires_at IS NULL OR expires_at > ?3);

-- name: set
INSERT INTO perdure_cache (namespace, key, kind, value, expires_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (namespace, key) DO UPDATE
SET kind = excluded.kind, value = excluded.value, expires_at = excluded.expires_at;

-- name: sweep
DELETE FROM perdure_cache WHERE expires_at <= ?;

-- name: clear
DELETE FROM perdure_cache WHERE namespace = ?;

-- name: clear_all
DELETE FROM perdure_cache;
