"""What a server is like: whether it can be used, and what is worth knowing of it."""

from __future__ import annotations

import warnings
from typing import Any, Final, NamedTuple

from perdure.database.blocking import Exchange
from perdure.errors import StorageError

_OLDEST: Final = 7


class Fact(NamedTuple):
    """Something that was found, whether that is well, and what to do if it isn't."""

    name: str
    found: object
    is_well: bool = True
    advice: str = ""


def look(where: str, *, expires: bool) -> Exchange[bool]:
    """Look whether a server can be used, and warn of one that drops keys.

    Args:
        where: Where it is, for people.
        expires: Whether keys have an expiry.

    Returns:
        Whether it is one of a cluster.

    Raises:
        StorageError: It is too old.
    """
    server, memory, cluster = yield [("INFO", section) for section in ("server", "memory", "cluster")]
    version = str(server.get("redis_version", ""))
    if int(version.partition(".")[0] or 0) < _OLDEST:
        raise StorageError(
            f"Redis, {where}: version {version} is too old",
            hint=f"perdure needs Redis {_OLDEST} or later, or any Valkey",
        )
    policy = str(memory.get("maxmemory_policy", "noeviction"))
    at_risk = policy.startswith("allkeys") or (policy.startswith("volatile") and expires)
    if at_risk and memory.get("maxmemory"):
        warnings.warn(
            f"the Redis at {where} drops keys when its memory is full (maxmemory-policy {policy}): "
            "threads may vanish. Use a server of its own with `maxmemory-policy noeviction`",
            RuntimeWarning,
            stacklevel=2,
        )
    return bool(cluster.get("cluster_enabled"))


def facts() -> Exchange[tuple[list[Fact], float]]:
    """Ask a server what it is, how it keeps what it is told, and what its clock says, in seconds since 1970."""
    *sections, clock = yield [*(("INFO", section) for section in ("server", "memory", "persistence")), ("TIME",)]
    told: dict[str, Any] = {name: value for section in sections for name, value in section.items()}
    policy, limit = str(told.get("maxmemory_policy", "noeviction")), told.get("maxmemory", 0)
    seconds, micros = map(int, clock)
    found = [
        Fact("server", f"{told.get('server_name', 'redis')} {told.get('valkey_version', told.get('redis_version'))}"),
        Fact(
            "append-only file",
            "on" if told.get("aof_enabled") else "off",
            bool(told.get("aof_enabled")),
            "a crash takes everything since the last snapshot: appendonly yes, appendfsync always or everysec",
        ),
        Fact(
            "memory",
            f"{told.get('used_memory')} bytes of {limit or 'all'}, {policy}",
            policy == "noeviction" or not limit,
            "threads may vanish when it is full: maxmemory-policy noeviction",
        ),
        Fact(
            "last write to the disk",
            told.get("aof_last_write_status", "ok"),
            told.get("aof_last_write_status", "ok") == "ok",
            "the server can't write its file: look at its disk",
        ),
    ]
    return found, seconds + micros / 1e6
