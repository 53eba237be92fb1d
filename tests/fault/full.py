"""Runs a shape on a disk that becomes full, makes room, and goes on; says which promises were broken.

    python -m tests.fault.full rlimit FOLDER           a real limit: the size that a file may have (RLIMIT_FSIZE)
    python -m tests.fault.full filled FOLDER           a real full disk: FOLDER is on a small one, and is filled

The error must say that the disk is full, what was acknowledged must be readable meanwhile, and with room the same saver
goes on with the run.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import apsw
from tests.fault import promises
from tests.fault.program import Way, run
from tests.fault.stores import Noting, NotingSqliteSaver

from perdure.errors import StorageError
from perdure.pregel import turns


def becomes_full(way: Way, saver: Noting, limit: Callable[[], None], free: Callable[[], None]) -> list[str]:
    """Run on a disk that becomes full; return what broke, or `["it fits"]`."""
    where = "SQLite" if isinstance(saver, NotingSqliteSaver) else "Postgres"
    lines: list[str] = []
    saver.log = lines.append
    limit()
    broken: list[str] = []
    try:
        run(way, saver, lines.append)
    except StorageError as e:
        text = str(e)
        broken += [f"{word!r} isn't in: {text}" for word in ("full", where, "hint") if word not in text]
        before = [*lines]
        if any(promises.of_lines(before)):
            broken += [f"while it was full: {problem}" for problem in promises.lost(way, saver, before)]
    else:
        return ["it fits"]
    finally:
        free()
    broken += promises.lost(way, saver, before)
    run(way, saver, lines.append)
    return broken + promises.unlike_the_end(way, saver) + promises.run_again(before, lines) + promises.forks(saver)


class RealDisk:
    """A folder whose disk can be made full.

    Args:
        kind: `rlimit` or `filled`.
        folder: The folder.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        self._kind = kind
        self._folder = folder
        self._ballast = folder / "ballast"
        self._most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]

    def limit(self, pages: int) -> None:
        """Leave room for so many pages, in each file or in all of them together."""
        if self._kind == "rlimit":
            resource.setrlimit(resource.RLIMIT_FSIZE, (pages * 4096 + 1500, self._most))
            return
        disk = os.statvfs(self._folder)
        with suppress(OSError):
            self._ballast.write_bytes(bytes(max(0, disk.f_bavail * disk.f_frsize - pages * 4096)))

    def free(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._most, self._most))
        self._ballast.unlink(missing_ok=True)

    def becomes_full(self, way: Way, pages: int) -> list[str]:
        path = self._folder / f"{pages}.db"
        with (
            closing(apsw.Connection(str(path))) as connection,
            NotingSqliteSaver(connection, synchronous="NORMAL") as saver,
        ):
            found = becomes_full(way, saver, partial(self.limit, pages), self.free)
        for file in self._folder.glob(f"{pages}.db*"):
            file.unlink()
        return found


def on_a_real_disk(kind: str, folder: Path) -> tuple[int, list[str]]:
    """Let the disk become full at ever later moments, until a run fits; return how often, and what broke."""
    disk = RealDisk(kind, folder)
    broken: list[str] = []
    pages = 0
    while (found := disk.becomes_full(Way("chain"), pages)) != ["it fits"]:
        broken += [f"with {pages} pages of room: {problem}" for problem in found]
        pages += 1
    return pages, broken


if __name__ == "__main__":
    turns.LEASE_SECONDS = 0.05  # a full disk can't take a lease back either: it must run out
    times, problems = on_a_real_disk(sys.argv[1], Path(sys.argv[2]))
    print("\n".join([*problems, f"{times} times full, {len(problems)} broken promises"]))
    sys.exit(1 if problems or not times else 0)
