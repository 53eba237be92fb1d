-- The tables carry a prefix, for a database may hold an application's own tables too.

-- A thread's namespaces. AUTOINCREMENT: a number is never used again, so that a late reader of a deleted thread finds nothing.
CREATE TABLE perdure_namespaces (
    ns INTEGER PRIMARY KEY AUTOINCREMENT,
    thread_id TEXT NOT NULL,
    checkpoint_ns TEXT NOT NULL,
    UNIQUE (thread_id, checkpoint_ns)
) STRICT;

-- record: a frame of channel versions, references to chains of pieces (or short values themselves) and the header.
-- piece: the checkpoint's first new piece, if it is short, so that most supersteps add one row; key: its number, as in
-- perdure_pieces, whether there is one or not.
CREATE TABLE perdure_checkpoints (
    key INTEGER PRIMARY KEY,
    ns INTEGER NOT NULL,
    checkpoint_id TEXT NOT NULL,
    parent_id TEXT,
    run_id TEXT,
    record BLOB NOT NULL,
    piece BLOB,
    UNIQUE (ns, checkpoint_id)
) STRICT;

CREATE INDEX perdure_checkpoints_by_run ON perdure_checkpoints (run_id) WHERE run_id IS NOT NULL;

-- piece: ns * 2^32 + a number that counts within the namespace; data: a frame of an encoded value, or of a script that
-- makes one of its predecessor. Rows are never changed. See docs/storage-format.md.
CREATE TABLE perdure_pieces (
    piece INTEGER PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;

-- data: a frame of all writes of the task.
CREATE TABLE perdure_writes (
    ns INTEGER NOT NULL,
    checkpoint_id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    task_path TEXT NOT NULL,
    data BLOB NOT NULL,
    UNIQUE (ns, checkpoint_id, task_id)
) STRICT;

-- holder is '' when nobody holds it; the row stays, for its generation must only grow.
CREATE TABLE perdure_leases (
    thread_id TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    generation INTEGER NOT NULL,
    expires_at REAL NOT NULL,
    stop INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
