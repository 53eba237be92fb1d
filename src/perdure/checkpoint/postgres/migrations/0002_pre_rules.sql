-- How long threads are kept. ttl: seconds after the last checkpoint, less than 0 for never, NULL for the default; hold: why
-- nothing of the thread may be deleted.
CREATE TABLE @schema.perdure_rules (
    thread_id text COLLATE "C" PRIMARY KEY,
    ttl double precision,
    hold text
);
