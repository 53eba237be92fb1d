"""What is worth knowing of a Redis or Valkey."""

from __future__ import annotations

from perdure.checkpoint.diagnosis import Check, check_clock, judge
from perdure.database.redis.driver import Exchange


def checks() -> Exchange[list[Check]]:
    """Ask the server, and judge what it says."""
    *sections, clock = yield [*(("INFO", section) for section in ("server", "memory", "persistence")), ("TIME",)]
    told = {name: value for section in sections for name, value in section.items()}
    policy, limit = str(told.get("maxmemory_policy", "noeviction")), told.get("maxmemory", 0)
    seconds, micros = map(int, clock)
    return [
        Check("server", f"{told.get('server_name', 'redis')} {told.get('valkey_version', told.get('redis_version'))}"),
        judge(
            "append-only file",
            "on" if told.get("aof_enabled") else "off",
            is_well=bool(told.get("aof_enabled")),
            advice="a crash takes everything since the last snapshot: appendonly yes, appendfsync always or everysec",
        ),
        judge(
            "memory",
            f"{told.get('used_memory')} bytes of {limit or 'all'}, {policy}",
            is_well=policy == "noeviction" or not limit,
            advice="threads may vanish when it is full: maxmemory-policy noeviction",
        ),
        judge(
            "last write to the disk",
            told.get("aof_last_write_status", "ok"),
            is_well=told.get("aof_last_write_status", "ok") == "ok",
            advice="the server can't write its file: look at its disk",
        ),
        check_clock(seconds + micros / 1e6, "leases go by the server's clock; times in checkpoints by each machine's"),
    ]
