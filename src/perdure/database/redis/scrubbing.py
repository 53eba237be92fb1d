"""Making a server forget what was deleted, and reading what it keeps.

Memory forgets at once. The append-only file has every command, and the snapshot all that was there: both are written
anew, in the background, by the server.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol

from perdure.database.blocking import Exchange
from perdure.database.redis.driver import Command
from perdure.errors import PerdureError

_PAUSE: Final = 0.05
_MANY: Final = 500
_SIZE: Final = 4 * 1024 * 1024
_BUSY: Final = ("aof_rewrite_in_progress", "aof_rewrite_scheduled", "rdb_bgsave_in_progress")

_Chunk = tuple[str, int, bytes, str]


class _Runner(Protocol):
    def run(self, make: Callable[[], Exchange[Any]]) -> Any: ...


def scrub(driver: _Runner, timeout: float) -> tuple[list[str], list[str], list[str]]:
    """Write the append-only file and the snapshot anew; return what was done, what couldn't be, and what has copies.

    Args:
        driver: Asks the server.
        timeout: Seconds to wait for the server, which does it in the background.
    """
    if _is_cluster(driver):
        return [], ["each node of a cluster has files of its own: BGREWRITEAOF and BGSAVE on each"], []
    deadline = time.monotonic() + timeout
    done: list[str] = []
    failed: list[str] = []
    about = _asked(driver, ("INFO", "persistence"))
    steps = [("SAVE", "rdb_last_bgsave_status", "the snapshot")]
    if about.get("aof_enabled"):
        steps.insert(0, ("REWRITEAOF", "aof_last_bgrewrite_status", "the append-only file"))
    for command, status, what in steps:
        try:
            _wait(driver, deadline)
            _asked(driver, (f"BG{command}",))
            about = _wait(driver, deadline)
            if about.get(status) != "ok":
                failed.append(f"{what} couldn't be written anew: {status} is {about.get(status)}; see the server's log")
                continue
        except (PerdureError, TimeoutError) as error:
            failed.append(f"{what} wasn't written anew (BG{command}): {str(error).partition(chr(10))[0]}")
            continue
        done.append(f"BG{command}: {what} was written anew")
    beyond = ["copies of the server's files, and the disk's own free space"]
    if _asked(driver, ("INFO", "replication")).get("connected_slaves"):
        beyond.insert(0, "replicas: their files are theirs, do BGREWRITEAOF and BGSAVE there")
    return done, failed, beyond


def read(driver: _Runner, prefix: bytes) -> Iterator[_Chunk]:
    """Read all keys of a prefix, and the server's files on this machine: name, offset, bytes; or why there are none."""
    if _is_cluster(driver):
        yield "the nodes of the cluster", 0, b"", "they aren't looked at one by one"
        return
    for key in _keys(driver, prefix):
        for offset, data in enumerate([key, *_values(driver, key)]):
            yield f"key {key!r}", offset, data, ""
    yield from _files(driver)


def _files(driver: _Runner) -> Iterator[_Chunk]:
    try:
        found = _asked(driver, ("CONFIG", "GET", "dir")) | _asked(driver, ("CONFIG", "GET", "*file*"))
        found |= _asked(driver, ("CONFIG", "GET", "appenddirname"))
    except PerdureError as error:
        yield "the server's files", 0, b"", f"where they are isn't told: {str(error).partition(chr(10))[0]}"
        return
    named = {_text(name): _text(value) for name, value in found.items()}
    folder = Path(named.get("dir", ""))
    files = [folder / named.get("dbfilename", "dump.rdb")]
    more = folder / named.get("appenddirname", "appendonlydir")
    files += sorted(more.iterdir()) if more.is_dir() else [folder / named.get("appendfilename", "appendonly.aof")]
    there = [file for file in files if file.is_file()]
    if not there:
        yield str(folder), 0, b"", "the server's files aren't on this machine, or it has none"
    for file in there:
        with file.open("rb") as opened:
            offset = 0
            while data := opened.read(_SIZE):
                yield str(file), offset, data, ""
                offset += len(data)


def _keys(driver: _Runner, prefix: bytes) -> Iterator[bytes]:
    cursor: Any = 0
    pattern = b"".join(b"\\" + bytes((c,)) if c in b"*?[]\\^-" else bytes((c,)) for c in prefix) + b"*"
    while True:
        cursor, found = _asked(driver, ("SCAN", cursor, "MATCH", pattern, "COUNT", _MANY))
        yield from found
        if not int(cursor):
            return


def _values(driver: _Runner, key: bytes) -> list[bytes]:
    kind = _text(_asked(driver, ("TYPE", key)))
    if kind == "hash":
        found: Any = _asked(driver, ("HGETALL", key))
        return [part for pair in found.items() for part in pair]
    if kind == "zset":
        return list(_asked(driver, ("ZRANGE", key, 0, -1)))
    value = _asked(driver, ("GET", key)) if kind == "string" else None
    return [] if value is None else [value]


def _wait(driver: _Runner, deadline: float) -> Any:
    """Wait until nothing is being written; return how it went."""
    while True:
        about = _asked(driver, ("INFO", "persistence"))
        if not any(about.get(name) for name in _BUSY):
            return about
        if time.monotonic() > deadline:
            raise TimeoutError("it takes too long; do this again")
        time.sleep(_PAUSE)


def _is_cluster(driver: _Runner) -> bool:
    return bool(_asked(driver, ("INFO", "cluster")).get("cluster_enabled"))


def _asked(driver: _Runner, command: Command) -> Any:
    def asking() -> Exchange[Any]:
        [reply] = yield [command]
        return reply

    return driver.run(asking)


def _text(data: Any) -> str:
    return data.decode(errors="replace") if isinstance(data, bytes) else str(data)
