-- namespace: the labels as bytes, see perdure/store/keys.py. Times are ISO 8601 in UTC; expires_at is seconds since 1970,
-- ttl is minutes.
CREATE TABLE @schema.perdure_store_items (
    item bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    namespace bytea NOT NULL,
    key text COLLATE "C" NOT NULL,
    kind text NOT NULL,
    value bytea NOT NULL,
    created_at text COLLATE "C" NOT NULL,
    updated_at text COLLATE "C" NOT NULL,
    expires_at double precision,
    ttl double precision,
    UNIQUE (namespace, key)
);

CREATE INDEX perdure_store_items_by_end ON @schema.perdure_store_items (expires_at) WHERE expires_at IS NOT NULL;

-- vector: 32-bit floats, of length 1.
CREATE TABLE @schema.perdure_store_vectors (
    item bigint NOT NULL,
    place integer NOT NULL,
    vector bytea NOT NULL,
    PRIMARY KEY (item, place)
);
