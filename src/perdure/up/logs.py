"""Logs of the children: files that they append to, rotated behind their backs, and read together."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

LARGEST: Final = 10 << 20
"""Bytes of a log before it is rotated."""
KEPT: Final = 5
_SUFFIX: Final = ".log"
_PAUSE: Final = 0.2
_TAIL: Final = 1 << 20


def opened(folder: Path, name: str) -> BinaryIO:
    """Open a child's log for it to append to."""
    return (folder / f"{name}{_SUFFIX}").open("ab", buffering=0)


def names(folder: Path) -> list[str]:
    """Return whose logs there are."""
    return sorted(path.name.removesuffix(_SUFFIX) for path in folder.glob(f"*{_SUFFIX}"))


def rotate(folder: Path, largest: int = LARGEST, kept: int = KEPT) -> None:
    """Rotate what has grown too large: `api-1.log` becomes `api-1.log.1`, and so on.

    The file is copied and emptied, not renamed: its writer goes on, whatever becomes of the supervisor. A line that is
    written between the last look and the emptying is lost.
    """
    for path in folder.glob(f"*{_SUFFIX}"):
        if path.stat().st_size <= largest:
            continue
        for number in range(kept - 1, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number + 1}"))
        with path.open("rb+") as source, path.with_name(f"{path.name}.1").open("wb") as copy:
            os.fchmod(copy.fileno(), 0o600)
            shutil.copyfileobj(source, copy)
            while more := source.read():  # what came meanwhile
                copy.write(more)
            source.truncate(0)


def read(folder: Path, wanted: Sequence[str], lines: int) -> Iterator[tuple[str, str]]:
    """Read the last lines of each log, with whose they are."""
    for name in wanted:
        with opened_to_read(folder, name) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            for line in file.read().decode(errors="replace").splitlines()[-lines:] if lines else ():
                yield name, line


def follow(folder: Path, wanted: Callable[[], Sequence[str]], goes_on: Callable[[], bool]) -> Iterator[tuple[str, str]]:
    """Yield lines as they come, with whose they are, until nothing more is to come."""
    places = {name: (folder / f"{name}{_SUFFIX}").stat().st_size for name in wanted()}
    while True:
        is_last = not goes_on()
        for name in wanted():
            with opened_to_read(folder, name) as file:
                size, place = file.seek(0, os.SEEK_END), places.get(name, 0)
                begin = file.seek(place if place <= size else 0)  # it was rotated
                whole, end, _ = file.read().rpartition(b"\n")
            places[name] = begin + len(whole) + len(end)
            yield from ((name, line) for line in whole.decode(errors="replace").split("\n") if end)
        if is_last:
            return
        time.sleep(_PAUSE)


def opened_to_read(folder: Path, name: str) -> BinaryIO:
    """Open a log."""
    return (folder / f"{name}{_SUFFIX}").open("rb")
