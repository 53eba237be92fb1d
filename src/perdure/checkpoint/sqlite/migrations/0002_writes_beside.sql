-- writes: a frame of what the only task of the superstep after this checkpoint wrote, if its commit made a checkpoint too;
-- so that such a superstep, by far the most frequent, changes fewer pages. All other writes are in perdure_writes.
ALTER TABLE perdure_checkpoints ADD COLUMN writes BLOB;
