"""Redis and Valkey by redis-py: a driver for both colours, and its errors."""

try:
    import redis  # noqa: F401 - here, so that whoever needs it is told what to install
except ImportError as missing:
    raise ModuleNotFoundError(
        "perdure on Redis needs redis-py: pip install 'perdure[redis]'", name=missing.name
    ) from missing
