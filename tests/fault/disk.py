"""A disk that can lose its power: it notes what is written, and says afterwards what would be left at any moment.

A VFS of SQLite passes everything on to real files and notes it in a trace. Only what was synced is durable:

1. A file's content is durable up to its last `xSync`. Which files there are is durable up to the last sync of their
   folder: SQLite does one with the first sync of a new journal or log (os_unix.c, UNIXFILE_DIRSYNC), and with deletions
   that ask for it.
2. What was written since may be lost, all of it or any part. A disk writes sectors of 512 bytes; of each, the content
   that it had after any of its writes may be there, whatever became of the others.

A run is recorded once, and `Disk.left` makes the files of each cut: before a power failure a run can't know of it.
"""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any, NamedTuple

import apsw

SECTOR = 512
Files = dict[str, bytes]


class Created(NamedTuple):
    name: str
    file: int


class Written(NamedTuple):
    file: int
    offset: int
    data: bytes


class Truncated(NamedTuple):
    file: int
    size: int


class Synced(NamedTuple):
    file: int


class Deleted(NamedTuple):
    name: str
    is_synced: bool


class Said(NamedTuple):
    """What the program told the world: from now on it must be true."""

    line: str


Event = Created | Written | Truncated | Synced | Deleted | Said


class RecordingVFS(apsw.VFS):
    """Passes everything on to the system's files, and notes what changes them."""

    def __init__(self, name: str) -> None:
        self.trace: list[Event] = []
        self._lock = threading.Lock()
        self._files: dict[str, int] = {}
        self._next = 0
        super().__init__(name, "")

    def say(self, line: str) -> None:
        self.trace.append(Said(line))

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is None:  # a temporary file: nobody looks for it after a reboot
            return apsw.VFSFile("", name, flags)
        with self._lock:
            if not Path(path).exists():
                self._next += 1
                self._files[path] = self._next
                self.trace.append(Created(Path(path).name, self._next))
        return _RecordingFile(self.trace, self._files[path], name, flags)

    def xDelete(self, name: str, syncdir: bool) -> None:
        super().xDelete(name, syncdir)
        self.trace.append(Deleted(Path(name).name, bool(syncdir)))


class _RecordingFile(apsw.VFSFile):
    def __init__(self, trace: list[Event], file: int, name: Any, flags: list[int]) -> None:
        self._trace, self._file = trace, file
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._trace.append(Written(self._file, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        self._trace.append(Truncated(self._file, size))

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self._trace.append(Synced(self._file))


class Disk:
    """What is on the disk after the events that it was given."""

    def __init__(self) -> None:
        self._durable: dict[int, bytes] = {}
        self._pending: dict[int, list[Written | Truncated]] = {}
        self._names: dict[str, int] = {}  # as the program sees them
        self._entries: dict[str, int] = {}  # as they are on the disk
        self._new: set[int] = set()
        self.said: list[str] = []

    def happens(self, event: Event) -> None:
        match event:
            case Created(name, file):
                self._names[name] = file
                self._durable[file], self._pending[file] = b"", []
                if name.endswith(("-journal", "-wal")):
                    self._new.add(file)
            case Written() | Truncated():
                self._pending[event.file].append(event)
            case Synced(file):
                self._durable[file] = _apply(self._durable[file], self._pending[file])
                self._pending[file] = []
                if file in self._new:
                    self._new.remove(file)
                    self._entries = dict(self._names)
            case Deleted(name, is_synced):
                self._names.pop(name, None)
                if is_synced:
                    self._entries = dict(self._names)
            case Said(line):
                self.said.append(line)

    def left(self, chance: random.Random | None = None) -> Files:
        """Return the files after a power failure now: what was synced, and a random part of the rest if asked for."""
        if chance is None:
            return {name: self._durable[file] for name, file in self._entries.items()}
        entries = dict(self._entries)
        for name in sorted(self._names.keys() | self._entries.keys()):
            if self._names.get(name) != self._entries.get(name) and chance.random() < 0.5:
                entries.pop(name, None)
                entries |= {name: self._names[name]} if name in self._names else {}
        return {name: _apply(self._durable[file], _some(self._pending[file], chance)) for name, file in entries.items()}


def _apply(content: bytes, changes: list[Written | Truncated]) -> bytes:
    made = bytearray(content)
    for change in changes:
        if isinstance(change, Truncated):
            del made[change.size :]
            continue
        _, offset, data = change
        made += bytes(max(0, offset - len(made)))
        made[offset : offset + len(data)] = data
    return bytes(made)


def _some(changes: list[Written | Truncated], chance: random.Random) -> list[Written | Truncated]:
    """Keep, of each sector, the first so many of its changes; and some truncations."""
    pieces = [piece for change in changes for piece in _sectors(change)]
    count: dict[int, int] = {}
    for place, _ in pieces:
        count[place] = count.get(place, 0) + 1
    kept = {place: chance.randint(0, many) for place, many in count.items()}
    found: list[Written | Truncated] = []
    for place, change in pieces:
        if kept[place] > 0:
            kept[place] -= 1
            found.append(change)
    return found


def _sectors(change: Written | Truncated) -> list[tuple[int, Written | Truncated]]:
    if isinstance(change, Truncated):
        return [(-1, change)]
    found: list[tuple[int, Written | Truncated]] = []
    file, offset, data = change
    while data:
        size = SECTOR - offset % SECTOR
        found.append((offset // SECTOR, Written(file, offset, data[:size])))
        offset, data = offset + size, data[size:]
    return found


class LimitedVFS(apsw.VFS):
    """Passes everything on to the system's files until they have no room left.

    Attributes:
        room: Bytes that can still be written; None: any number.
        written: The sizes of all writes.
    """

    def __init__(self, name: str) -> None:
        self.room: int | None = None
        self.written: list[int] = []
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _LimitedFile(self, name, flags)


class _LimitedFile(apsw.VFSFile):
    def __init__(self, vfs: LimitedVFS, name: Any, flags: list[int]) -> None:
        self._vfs = vfs
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        fits = len(data) if self._vfs.room is None else min(len(data), self._vfs.room)
        if fits:
            super().xWrite(data[:fits], offset)
        self._vfs.written.append(fits)
        if self._vfs.room is not None:
            self._vfs.room -= fits
        if fits < len(data):
            error = apsw.FullError("database or disk is full")
            error.result = error.extendedresult = apsw.SQLITE_FULL
            raise error
