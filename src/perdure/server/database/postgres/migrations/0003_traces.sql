-- trace: the trace context of the request that made the run, as JSON: its headers by name.
ALTER TABLE @schema.perdure_server_runs ADD COLUMN trace text COLLATE "C";
