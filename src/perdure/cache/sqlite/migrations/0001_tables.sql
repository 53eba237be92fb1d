-- namespace: the labels as a JSON array. expires_at: seconds since 1970.
CREATE TABLE perdure_cache (
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    kind TEXT NOT NULL,
    value BLOB NOT NULL,
    expires_at REAL,
    PRIMARY KEY (namespace, key)
) STRICT;

CREATE INDEX perdure_cache_by_end ON perdure_cache (expires_at) WHERE expires_at IS NOT NULL;
