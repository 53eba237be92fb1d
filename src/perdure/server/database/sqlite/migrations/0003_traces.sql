-- trace: the trace context of the request that made the run, as JSON: its headers by name.
ALTER TABLE perdure_server_runs ADD COLUMN trace TEXT;
