"""Postgres by psycopg: connections and pools, drivers for threads and event loops, migrations."""

try:
    import psycopg  # noqa: F401 - here, so that whoever needs it is told what to install
except ImportError as missing:
    raise ModuleNotFoundError(
        "perdure on Postgres needs psycopg: pip install 'perdure[postgres]'", name=missing.name
    ) from missing
