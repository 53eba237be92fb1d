"""How a server is run: from the command line and the environment, where the configuration says what it serves."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct, field

from perdure.errors import InvalidConfigError

DEFAULT_PORT: Final = 2024
DEFAULT_DATABASE: Final = "sqlite:///.perdure/server.db"

_MINUTE: Final = 60.0
_MEGABYTE: Final = 1 << 20


class Settings(Struct, frozen=True, kw_only=True):
    """How a server is run.

    Attributes:
        config: The configuration file.
        database: Where its tables and the threads are.
        host: The address to listen at.
        port: Its port.
        insecure: Whether anybody may call it from elsewhere without auth.
        local_pages: Whether pages of this machine, on any port, may call it.
        redis: A Valkey or Redis that carries hints between processes; empty: what the configuration names, if anything.
        key_prefix: What names of channels there begin with.
        jobs: How many runs a process does at once; 0: none, it only answers requests.
        serves: Whether it answers requests; if not, it only runs what others have asked for.
        lease: Seconds after which a silent worker's runs are taken over.
        attempts: How often a run is begun at most, should its workers die.
        poll: Seconds between two looks at the queue.
        timeout: Seconds that a run may take; None for any.
        grace: Seconds that runs may go on after a stop was asked for.
        keep_events: Seconds that the events of a run are kept after its end, for clients that come back.
        sweep: Seconds between two looks for what is over: threads with a time to live, old events.
        largest_body: Bytes of a request.
        most_streams: Streams open at once.
        most_scanned: States that a search of threads by their values reads.
        longest_backlog: Bytes that a slow client's stream may be behind before it is cut.
        recursion_limit: Supersteps of a run, whatever its config says; None for any.
        log_json: Whether the log is JSON, a line an event.
        log_level: What is logged.
        api_keys: Keys of which a request must bring one, each with a name; none: not asked for.
    """

    config: Path
    database: str = DEFAULT_DATABASE
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    insecure: bool = False
    local_pages: bool = False
    redis: str = ""
    key_prefix: str = ""
    jobs: int = 10
    serves: bool = True
    lease: float = 10.0
    attempts: int = 3
    poll: float = 0.5
    timeout: float | None = None
    grace: float = 30.0
    keep_events: float = 2 * _MINUTE
    sweep: float = 30.0
    largest_body: int = 32 * _MEGABYTE
    most_streams: int = 10_000
    most_scanned: int = 10_000
    longest_backlog: int = 8 * _MEGABYTE
    recursion_limit: int | None = None
    log_json: bool = False
    log_level: str = "info"
    api_keys: dict[str, str] = field(default_factory=dict)


_VARIABLES: Final[dict[str, tuple[str, type]]] = {
    "PERDURE_CONFIG": ("config", Path),
    "DATABASE_URI": ("database", str),
    "POSTGRES_URI": ("database", str),
    "PERDURE_DATABASE": ("database", str),
    "PERDURE_HOST": ("host", str),
    "PERDURE_PORT": ("port", int),
    "PERDURE_INSECURE": ("insecure", bool),
    "PERDURE_LOCAL_PAGES": ("local_pages", bool),
    "REDIS_URI": ("redis", str),
    "REDIS_KEY_PREFIX": ("key_prefix", str),
    "N_JOBS_PER_WORKER": ("jobs", int),
    "PERDURE_JOBS": ("jobs", int),
    "PERDURE_SERVES": ("serves", bool),
    "PERDURE_LEASE_SECONDS": ("lease", float),
    "PERDURE_ATTEMPTS": ("attempts", int),
    "PERDURE_POLL_SECONDS": ("poll", float),
    "BG_JOB_TIMEOUT_SECS": ("timeout", float),
    "BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS": ("grace", float),
    "RESUMABLE_STREAM_TTL_SECONDS": ("keep_events", float),
    "PERDURE_SWEEP_SECONDS": ("sweep", float),
    "PERDURE_LARGEST_BODY": ("largest_body", int),
    "PERDURE_MOST_STREAMS": ("most_streams", int),
    "PERDURE_MOST_SCANNED": ("most_scanned", int),
    "PERDURE_LONGEST_BACKLOG": ("longest_backlog", int),
    "PERDURE_RECURSION_LIMIT": ("recursion_limit", int),
    "LOG_JSON": ("log_json", bool),
    "LOG_LEVEL": ("log_level", str),
}


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment; of several names of one setting the later in the list counts.

    Raises:
        InvalidConfigError: A variable isn't what it must be.
    """
    given = os.environ if environment is None else environment
    found: dict[str, object] = {"config": Path("perdure.json")}
    for name, (setting, kind) in _VARIABLES.items():
        if text := given.get(name):
            found[setting] = _value(name, text, kind)
    if text := given.get("PERDURE_API_KEYS"):
        found["api_keys"] = _keys(text)
    return Settings(**found)  # type: ignore[arg-type]  # checked above, one by one


def to_environment(settings: Settings) -> dict[str, str]:
    """Return the variables that say the same, for processes of their own."""
    told: dict[str, str] = {}
    for name, (setting, _) in _VARIABLES.items():
        if (value := getattr(settings, setting)) is not None:
            told[name] = str(int(value)) if isinstance(value, bool) else str(value)
    if settings.api_keys:
        told["PERDURE_API_KEYS"] = ",".join(f"{name}:{key}" for key, name in settings.api_keys.items())
    return told


def _value(name: str, text: str, kind: type) -> object:
    if kind is bool:
        if text.lower() not in ("0", "1", "true", "false", "yes", "no"):
            raise InvalidConfigError(f"{name}={text!r} is neither true nor false")
        return text.lower() in ("1", "true", "yes")
    try:
        return kind(text)
    except ValueError as e:
        raise InvalidConfigError(f"{name}={text!r} is not a number") from e


def _keys(text: str) -> dict[str, str]:
    """Read `name:key,name:key`; a key without a name is its own number."""
    found: dict[str, str] = {}
    for number, part in enumerate(filter(None, (part.strip() for part in text.split(","))), 1):
        name, colon, key = part.partition(":")
        found[key if colon else name] = name if colon else f"key {number}"
    return found
