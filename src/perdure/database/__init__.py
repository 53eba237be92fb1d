"""How perdure talks to databases: operations as batches of statements, drivers in both colours, migrations.

Savers, stores, caches and the server keep their tables through it; it knows none of them.
"""
