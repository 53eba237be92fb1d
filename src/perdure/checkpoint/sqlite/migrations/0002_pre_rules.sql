-- How long threads are kept. ttl: seconds after the last checkpoint, less than 0 for never, NULL for the default; hold: why
-- nothing of the thread may be deleted.
CREATE TABLE perdure_rules (
    thread_id TEXT PRIMARY KEY,
    ttl REAL,
    hold TEXT
) STRICT, WITHOUT ROWID;
