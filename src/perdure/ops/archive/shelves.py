"""Shelves: places that hold many backups, each complete or going on from another; a folder, or a prefix of a bucket.

1. A backup on a shelf never changes, and has a name that no other ever had.
2. In a bucket a backup is there when the catalog, one object, names it. The catalog is changed by compare-and-set:
   backups at the same time both come to be in it, and one whose base was deleted meanwhile is not taken.
3. What is deleted leaves the catalog first. So whoever is killed leaves objects that no catalog names, never a name
   without its object; a later deletion sweeps them.
4. On a folder only one process at a time makes or deletes backups: it holds a lock. Each file says itself what it is.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from perdure.errors import ConflictError, CorruptCheckpointError, StorageError
from perdure.ops.archive.file import about_of

if TYPE_CHECKING:
    from perdure.database.s3.files import Objects

SUFFIX: Final = ".perdure"
CATALOG: Final = "catalog.json"
FORMAT: Final = 1
_ORPHANED: Final = timedelta(days=1)
"""What no catalog names is deleted after so long: until then it may be on its way there."""


class Entry(NamedTuple):
    """A backup on a shelf.

    Attributes:
        name: Of its file.
        since: The name of the one that it goes on from; None: it is complete.
        made: When it was begun.
        is_encrypted: Whether it is.
        size: In bytes.
    """

    name: str
    since: str | None
    made: datetime
    is_encrypted: bool
    size: int


_OURS: Final = f"????????T??????Z-????????{SUFFIX}"
"""Names that `new_name` makes; other files of a folder are somebody else's."""

_NAME: Final = re.compile(rf"[0-9]{{8}}T[0-9]{{6}}Z-[0-9a-f]{{8}}{re.escape(SUFFIX)}")


def new_name() -> str:
    """Return a name that no other backup has."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.urandom(4).hex()}{SUFFIX}"


def chain_of(entries: Sequence[Entry], name: str) -> list[Entry]:
    """Return a backup and those that it goes on from, the complete one first.

    Raises:
        StorageError: One of them isn't there.
    """
    known = {entry.name: entry for entry in entries}
    found: list[Entry] = []
    wanted: str | None = name
    while wanted is not None:
        if wanted not in known or known[wanted] in found:
            raise StorageError(f"there is no backup {wanted}", hint="one that was asked for, or that others need")
        found.insert(0, known[wanted])
        wanted = found[0].since
    return found


def expired(entries: Sequence[Entry], now: datetime, keep: timedelta | None, keep_last: int | None) -> list[Entry]:
    """Return which backups may be deleted: those that neither rule keeps, and that none of the kept needs.

    The newest is always kept; without a rule, all are.
    """
    if keep is None and keep_last is None:
        return []
    ordered = sorted(entries, key=lambda entry: (entry.made, entry.name))
    kept = set(ordered[-max(1, keep_last or 1) :])
    if keep is not None:
        kept |= {entry for entry in ordered if entry.made >= now - keep}
    known = {entry.name: entry for entry in ordered}
    for entry in list(kept):
        while entry.since is not None and entry.since in known and (entry := known[entry.since]) not in kept:
            kept.add(entry)
    return [entry for entry in ordered if entry not in kept]


class Shelf(ABC):
    """A place that holds backups; see this module's rules."""

    @abstractmethod
    def entries(self) -> list[Entry]:
        """Return the backups, the oldest first."""

    @abstractmethod
    @contextmanager
    def working(self) -> Iterator[Path]:
        """Give a folder in which a backup can be made."""

    @abstractmethod
    def fetch(self, entry: Entry, folder: Path) -> Path:
        """Return a backup's file, in that folder."""

    @abstractmethod
    def publish(self, path: Path, entry: Entry) -> None:
        """Add a backup that was made; then it is there.

        Raises:
            ConflictError: The one that it goes on from was deleted meanwhile.
        """

    @abstractmethod
    def remove(self, choose: Callable[[Sequence[Entry]], Sequence[Entry]]) -> Sequence[Entry]:
        """Delete the backups that are chosen, and what killed processes have left; return the former."""


class FolderShelf(Shelf):
    """Backups in a folder.

    Args:
        folder: The folder; it is made if it isn't there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def entries(self) -> list[Entry]:
        found = [entry for path in self._folder.glob(_OURS) if (entry := _entry_of(path)) is not None]
        return sorted(found, key=lambda entry: (entry.made, entry.name))

    @contextmanager
    def working(self) -> Iterator[Path]:
        import fcntl

        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConflictError(f"another backup is being made in {self._folder}", hint="wait for it") from None
            yield self._folder

    def fetch(self, entry: Entry, folder: Path) -> Path:
        return self._folder / entry.name

    def publish(self, path: Path, entry: Entry) -> None:
        pass  # its file has its name

    def remove(self, choose: Callable[[Sequence[Entry]], Sequence[Entry]]) -> Sequence[Entry]:
        gone = choose(self.entries())
        for entry in sorted(gone, key=lambda entry: entry.made, reverse=True):  # who is needed goes after who needs
            (self._folder / entry.name).unlink(missing_ok=True)
        for path in self._folder.glob(f"{_OURS}.*.partial"):  # nobody else is at work here
            path.unlink(missing_ok=True)
        return gone


def _entry_of(path: Path) -> Entry | None:
    """Return what a file says that it is; None if it is no backup, or was damaged where it says so."""
    try:
        about = about_of(path)
    except CorruptCheckpointError:
        return None
    return Entry(path.name, about.since_name, about.made, about.is_encrypted, path.stat().st_size)


class BucketShelf(Shelf):
    """Backups in a bucket.

    Args:
        objects: Those below the shelf's prefix.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def entries(self) -> list[Entry]:
        return self._read()[0]

    def _read(self) -> tuple[list[Entry], str | None]:
        found = self._objects.get(CATALOG)
        if found is None:
            return [], None
        try:
            told = json.loads(found.data)
            if told["format"] != FORMAT:
                raise CorruptCheckpointError(f"{CATALOG} has format {told['format']}", hint="use a newer perdure")
            entries = [_decoded(one) for one in told["backups"]]
        except (ValueError, TypeError, LookupError) as error:
            raise CorruptCheckpointError(f"{CATALOG} isn't the list of backups that it should be") from error
        return sorted(entries, key=lambda entry: (entry.made, entry.name)), found.etag

    def _change(self, change: Callable[[list[Entry]], list[Entry]]) -> None:
        while True:
            entries, etag = self._read()
            backups = [_encoded(entry) for entry in change(entries)]
            told = {"format": FORMAT, "changed": os.urandom(8).hex(), "backups": backups}  # unlike any other's
            if self._objects.swap(CATALOG, json.dumps(told, indent=1).encode(), etag):
                return

    @contextmanager
    def working(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="perdure-backup-") as name:
            yield Path(name)

    def fetch(self, entry: Entry, folder: Path) -> Path:
        path = folder / entry.name
        if not path.exists():
            self._objects.fetch(entry.name, path)
        return path

    def publish(self, path: Path, entry: Entry) -> None:
        def add(entries: list[Entry]) -> list[Entry]:
            if entry.since is not None and entry.since not in {one.name for one in entries}:
                raise ConflictError(f"{entry.since}, from which this backup goes on, was deleted", hint="try again")
            return [*(one for one in entries if one.name != entry.name), entry]

        self._objects.send(path, entry.name)
        self._change(add)

    def remove(self, choose: Callable[[Sequence[Entry]], Sequence[Entry]]) -> Sequence[Entry]:
        gone: Sequence[Entry] = choose(self.entries())
        if gone:

            def leave_out(entries: list[Entry]) -> list[Entry]:
                nonlocal gone
                gone = choose(entries)
                return [entry for entry in entries if entry not in gone]

            self._change(leave_out)
        named = {entry.name for entry in self.entries()}
        late = datetime.now(UTC) - _ORPHANED
        left = [
            one.key
            for one in self._objects.list()
            if one.key.endswith(SUFFIX) and one.key not in named and one.modified < late
        ]
        self._objects.delete([*(entry.name for entry in gone), *left])
        return gone


def _encoded(entry: Entry) -> dict[str, Any]:
    return {**entry._asdict(), "made": entry.made.isoformat()}


def _decoded(one: dict[str, Any]) -> Entry:
    names = [one["name"], *([] if one["since"] is None else [one["since"]])]
    if not all(_NAME.fullmatch(name) for name in names):  # it becomes a file's: one of a stranger's could be anywhere
        raise ValueError(names)
    return Entry(one["name"], one["since"], datetime.fromisoformat(one["made"]), one["is_encrypted"], one["size"])


def is_shelf(place: str | os.PathLike[str]) -> bool:
    """Tell whether a place holds many backups: a bucket's, a folder, or a path that ends with a slash."""
    text = os.fspath(place)
    return text.startswith("s3://") or text.endswith("/") or Path(text).is_dir()


@contextmanager
def open_shelf(place: str | os.PathLike[str]) -> Iterator[tuple[Shelf, str | None]]:
    """Open a shelf; with the name of the backup on it that the place means, if it means one."""
    text = os.fspath(place)
    if not text.startswith("s3://"):
        yield FolderShelf(Path(text)), None
        return
    try:
        from perdure.database.s3.files import open_objects
    except ModuleNotFoundError as missing:
        raise StorageError("backups in buckets need obstore", hint="pip install 'perdure[s3]'") from missing
    parts, name = urlsplit(text), None
    if parts.path.endswith(SUFFIX):
        folder, _, name = parts.path.rpartition("/")
        text = parts._replace(path=folder).geturl()
    with open_objects(text) as objects:
        yield BucketShelf(objects), name
