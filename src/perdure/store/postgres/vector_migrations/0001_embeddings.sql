-- embedding: the vector as pgvector's own type, of any length; NULL until it is made of `vector`, which stays what is true.
CREATE EXTENSION IF NOT EXISTS vector;

ALTER TABLE @schema.perdure_store_vectors ADD COLUMN embedding vector;

CREATE INDEX perdure_store_vectors_waiting ON @schema.perdure_store_vectors (item, place) WHERE embedding IS NULL;
