"""The search for what should be gone, in all bytes that a database keeps and in all that can still be read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from perdure.errors import CorruptCheckpointError, SerializationError
from perdure.ops.archive.records import of_commit, pack
from perdure.ops.fingerprints import WINDOW, Fingerprints
from perdure.ops.items import read_items
from perdure.ops.opening import Database
from perdure.ops.reading import Saver, commits, outline
from perdure.ops.selecting import EVERYTHING

__all__ = ["Search", "Trace", "search_files", "search_values"]

_MOST_SHOWN: Final = 100


class Trace(NamedTuple):
    """Something that should be gone, and isn't.

    Attributes:
        what: The marker, or `fingerprint` and its bytes in hexadecimal.
        place: The file, object or key; or the thread, or item of the store, whose values have it.
        offset: Where in a file.
    """

    what: str
    place: str
    offset: int


@dataclass
class Search:
    """What was looked at, and found.

    Attributes:
        files: Bytes by file, object or key.
        unread: What can't be looked at, and why.
        found: What was found, the first hundred traces.
        shared: Fingerprints that were found, and that what is to stay has too.
    """

    files: dict[str, int] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    found: list[Trace] = field(default_factory=list)
    shared: int = 0

    @property
    def bytes(self) -> int:
        """How many bytes were looked at."""
        return sum(self.files.values())

    def note(self, trace: Trace) -> None:
        """Note what was found."""
        if len(self.found) < _MOST_SHOWN:
            self.found.append(trace)


def spellings(markers: Iterable[str]) -> dict[bytes, str]:
    """Return the bytes that a marker may be written as: UTF-8, and as JSON escapes it."""
    found: dict[bytes, str] = {}
    for marker in markers:
        for text in (marker, json.dumps(marker)[1:-1], json.dumps(marker, ensure_ascii=False)[1:-1]):
            found[text.encode("utf-8", "surrogatepass")] = marker
    return found


def search_files(saver: Saver, prints: Fingerprints, markers: Sequence[str], done: Search) -> None:
    """Look through all bytes that a storage keeps."""
    wanted = spellings(markers)
    overlap = max([WINDOW, *map(len, wanted)]) - 1
    before, name, end = b"", "", 0
    hits: dict[bytes, tuple[str, int]] = {}
    for chunk in saver.raw():
        if chunk.reason:
            done.unread[chunk.name] = chunk.reason
            continue
        done.files[chunk.name] = done.files.get(chunk.name, 0) + len(chunk.data)
        rest = before if chunk.name == name and chunk.offset == end else b""
        data, start = rest + chunk.data, chunk.offset - len(rest)
        for sample, at in prints.found_in(data).items():
            hits.setdefault(sample, (chunk.name, start + at))
        for spelt, marker in wanted.items():
            if (at := data.find(spelt)) >= 0:
                done.note(Trace(marker, chunk.name, start + at))
        before, name, end = data[-overlap:], chunk.name, chunk.offset + len(chunk.data)
    _judge(saver, prints, hits, done)


def _judge(saver: Saver, prints: Fingerprints, hits: dict[bytes, tuple[str, int]], done: Search) -> None:
    """Tell what is left from what is somebody else's: equal values of other threads have equal bytes."""
    theirs: set[bytes] = set()
    if hits:
        for thread_id in saver.threads():
            for piece in saver.stored_of(thread_id):
                theirs |= prints.found_in(piece).keys() & hits.keys()
    done.shared = len(theirs)
    for sample, (place, offset) in hits.items():
        if sample not in theirs:
            done.note(Trace(f"fingerprint {sample.hex()}", place, offset))


def search_values(database: Database, markers: Sequence[str], done: Search) -> None:
    """Look for markers in all values that can still be read, decoded."""
    wanted = spellings(markers)
    for place, data in _values(database, done):
        for spelt, marker in wanted.items():
            if spelt in data:
                done.note(Trace(marker, place, 0))


def _values(database: Database, done: Search) -> Iterator[tuple[str, bytes]]:
    saver = database.saver
    for thread_id in saver.threads():
        try:
            for one in commits(saver, outline(saver, thread_id, EVERYTHING), ()):
                yield f"thread {thread_id!r}, decoded", pack(of_commit(one))
        except (CorruptCheckpointError, SerializationError) as error:
            done.unread[f"thread {thread_id!r}"] = str(error.args[0])
    for thread_id, rules in saver.rules():
        yield f"rules of thread {thread_id!r}", f"{thread_id}\n{rules.hold or ''}".encode("utf-8", "surrogatepass")
    if database.store is not None:
        for items in read_items(database.store):
            for item in items:
                yield f"item {item.where!r}", pack([list(item.where.namespace), item.where.key, item.value])
