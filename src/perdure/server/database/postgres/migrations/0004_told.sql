-- told_until: until when somebody listens to the thread's runs who is to be told all channels of the event protocol.
ALTER TABLE @schema.perdure_server_threads ADD COLUMN told_until double precision NOT NULL DEFAULT 0;
