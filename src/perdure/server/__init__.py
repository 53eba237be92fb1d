"""The data plane: an HTTP server for graphs, with a queue of runs, on one database.

It speaks the platform API that LangGraph's clients speak. Rooms, from the outside in: `app` (assembly), `routes` (one
file a resource), `auth`, `worker` and `queue` (who runs what), `execution` (one run), `streams` (its events),
`graphs` (loading them), `database` (the server's own tables). The state of threads is never touched there: it goes
through the graphs' own methods and the saver.
"""
