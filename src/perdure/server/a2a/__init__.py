"""A2A: `forms` (the two versions of the protocol, and what requests say), `tasks` (runs as tasks)."""
