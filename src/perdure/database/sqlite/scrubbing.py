"""Making a database's files forget what was deleted, and reading them as they are.

What SQLite deletes stays in free pages, in the unused part of pages, and in the write-ahead log. `VACUUM` writes the
database anew, page by page; then the log is folded in and cut to nothing, which waits for whoever reads an old state.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from perdure.database.sqlite.connection import connect, is_busy, mapped

_SIZE: Final = 4 * 1024 * 1024
# By another process: whoever closes a file drops all locks that SQLite has on it in the same process.
_READER: Final = "import shutil, sys; shutil.copyfileobj(open(sys.argv[1], 'rb'), sys.stdout.buffer)"


def scrub(path: str, timeout: float) -> tuple[list[str], list[str]]:
    """Write a database anew and empty its log; return what was done, and what couldn't be.

    Args:
        path: The file.
        timeout: Seconds to wait for those who use it.
    """
    done: list[str] = []
    connection = connect(path, timeout)
    try:
        connection.execute("PRAGMA secure_delete = ON")  # pages are zeroed before they are filled
        connection.execute("VACUUM")
        done.append("VACUUM: the database was written anew")
        [(busy, _, _)] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except Exception as error:
        if not is_busy(error):
            raise mapped(error, path) from error
        return done, [f"another connection held {path} for {timeout:.0f} s: end its transaction, and do this again"]
    finally:
        connection.close()
    if busy:
        why = "another connection reads an older state of the database: end its transaction, and do this again"
        return done, [f"the log {path}-wal can't be emptied: {why}"]
    return [*done, "the write-ahead log was folded in and cut to nothing"], []


def beyond(path: str) -> list[str]:
    """Name what has copies of a database elsewhere."""
    here = Path(path)
    replica = here.with_name(f".{here.name}-litestream")
    found = [f"the replica that Litestream keeps, in {replica} and elsewhere"] if replica.exists() else []
    return [*found, "copies of the file, and the disk's own free space"]


def read(path: str) -> Iterator[tuple[str, int, bytes]]:
    """Read the database and its log: name, offset, bytes."""
    for name in (path, f"{path}-wal", f"{path}-journal", f"{path}-shm"):
        if not Path(name).is_file():
            continue
        with subprocess.Popen([sys.executable, "-I", "-c", _READER, name], stdout=subprocess.PIPE) as reader:  # noqa: S603
            assert reader.stdout is not None
            offset = 0
            while data := reader.stdout.read(_SIZE):
                yield name, offset, data
                offset += len(data)
        if reader.returncode:
            raise OSError(f"{name} can't be read")
