-- namespace: the labels as bytes, see perdure/store/keys.py. Times are ISO 8601 in UTC; expires_at is seconds since 1970,
-- ttl is minutes. AUTOINCREMENT: a number is never used again.
CREATE TABLE perdure_store_items (
    item INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace BLOB NOT NULL,
    key TEXT NOT NULL,
    kind TEXT NOT NULL,
    value BLOB NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    expires_at REAL,
    ttl REAL,
    UNIQUE (namespace, key)
) STRICT;

CREATE INDEX perdure_store_items_by_end ON perdure_store_items (expires_at) WHERE expires_at IS NOT NULL;

-- vector: 32-bit floats, of length 1.
CREATE TABLE perdure_store_vectors (
    item INTEGER NOT NULL,
    place INTEGER NOT NULL,
    vector BLOB NOT NULL,
    PRIMARY KEY (item, place)
) STRICT, WITHOUT ROWID;
