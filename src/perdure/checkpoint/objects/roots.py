"""The objects of a thread: one root that changes, and immutable ones that it names. See docs/s3.md.

1. A root is replaced by a conditional put only, and that is what commits. It holds the lease, the namespaces, and what
   was stored last: entries of checkpoints and pieces.
2. When a root gets long, entries move to a *page* and pieces to *packs*, before the root that names them is put. Their
   numbers are never used again, and they are never changed.
3. A piece's number tells its pack, so nothing needs an index of pieces.
4. `RUNG` pages of a level are merged into one of the next level, so a namespace has a logarithm of pages.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from ormsgpack import packb, unpackb

from perdure.checkpoint.frames import seal, unseal
from perdure.errors import CorruptCheckpointError, SchemaVersionError

PACK: Final = 64
"""Numbers of pieces that a pack has room for."""

RUNG: Final = 16
"""Pages of a level that are merged into one of the next."""

MOST_ROOT: Final = 24 * 1024
"""Bytes of entries and pieces that a root may hold."""

_VERSION: Final = 1
_WITH_RULES: Final = 2
_INDEX_BITS: Final = 24
_EMPTY_UNIT: Final = 256
"""A root's size is a multiple of this if its thread has no checkpoint, and only then: so a listing tells."""

_MOST_PACKS: Final = 1 << 22

_LONG_NAME: Final = 90
"""Bytes of an id that a key spells out: MinIO and SeaweedFS allow 255 characters between slashes."""


def root_key(thread_id: str) -> str:
    """Return the key of a thread's root: keys sort as the ids do, and no character of an id is special in one."""
    name = thread_id.encode("utf-8", "surrogatepass")
    if len(name) <= _LONG_NAME:
        return f"t/{name.hex()}-"
    return f"t/{name[:_LONG_NAME].hex()}~{hashlib.sha256(name).hexdigest()}"


def thread_of(key: str) -> str | None:
    """Return the thread whose root has this key; None: only the root tells."""
    name = key.rpartition("/")[2]
    return None if "~" in name else bytes.fromhex(name[:-1]).decode("utf-8", "surrogatepass")


def has_checkpoint(size: int) -> bool:
    """Tell from a root's size whether its thread has a checkpoint."""
    return size % _EMPTY_UNIT != 0


class Row(NamedTuple):
    """A checkpoint: the parent's id, the run's, and the record's frame."""

    parent_id: str | None
    run_id: str | None
    frame: bytes


class Entry(NamedTuple):
    """What a layer, the root or a page, knows of a checkpoint id.

    Attributes:
        row: The checkpoint; None: see the older layers.
        tasks: Writes on top of it, by task: path and frame. Older layers may have others.
        is_gone: Whether what older layers have was deleted.
    """

    row: Row | None = None
    tasks: Mapping[str, tuple[str, bytes]] = {}
    is_gone: bool = False

    def over(self, older: Entry) -> Entry:
        """Return what this and an older layer say together."""
        if self.is_gone:
            return self
        return Entry(self.row or older.row, {**older.tasks, **self.tasks}, older.is_gone)

    def weight(self) -> int:
        """Return about how many bytes it takes."""
        return (
            64
            + (len(self.row.frame) + 80 if self.row else 0)
            + sum([96 + len(data) for _, data in self.tasks.values()])
        )


class Page(NamedTuple):
    """A page, and the lowest and highest checkpoint id that it knows something of."""

    number: int
    level: int
    low: str
    high: str


@dataclass(slots=True)
class Space:
    """A namespace: what of it lies in the root.

    Attributes:
        ns: Its number, which no other namespace has, of whatever thread.
        name: The namespace.
        head: Its greatest checkpoint id.
        next_piece: The number of the next piece.
        next_page: That of the next page.
        pages: The oldest first.
        packs: The numbers of the packs that have pieces.
        salts: What follows a pack's number in its key, if somebody had put another object under the plain key.
        entries: By checkpoint id.
        pieces: By number.
    """

    ns: int
    name: str
    head: str | None = None
    next_piece: int = 0
    next_page: int = 0
    pages: list[Page] = field(default_factory=list)
    packs: list[int] = field(default_factory=list)
    salts: dict[int, int] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    pieces: dict[int, bytes] = field(default_factory=dict)

    def copy(self) -> Space:
        """Return one that may be changed."""
        return replace(
            self,
            pages=self.pages.copy(),
            packs=self.packs.copy(),
            salts=self.salts.copy(),
            entries=self.entries.copy(),
            pieces=self.pieces.copy(),
        )

    def weight(self) -> int:
        """Return about how many bytes could move out of the root."""
        return sum([e.weight() for e in self.entries.values()]) + sum([8 + len(p) for p in self.pieces.values()])

    def key(self, kind: str, number: int) -> str:
        """Return the key of a page (`r`) or pack (`p`)."""
        salt = f".{self.salts[number]}" if kind == "p" and number in self.salts else ""
        return f"d/{self.ns >> _INDEX_BITS:016x}/{self.ns & (1 << _INDEX_BITS) - 1}{kind}{number}{salt}"

    def object_keys(self) -> list[str]:
        """Return the keys of all its objects."""
        return [self.key("r", page.number) for page in self.pages] + [self.key("p", pack) for pack in self.packs]


class RootLease(NamedTuple):
    """A thread's lease: when it expires is in seconds since 1970; `stop`: whether its holder is asked to stop."""

    holder: str
    generation: int
    until: float = 0.0
    stop: bool = False


@dataclass(slots=True)
class Root:
    """A thread.

    Attributes:
        thread_id: Its id.
        birth: Drawn when it was made: a thread of the same id that is made later has other objects.
        next_index: Numbers namespaces.
        lease: Who may write, or could last.
        spaces: By name.
        rules: How long the thread is kept: time to live and hold, see `perdure.checkpoint.rules.Change`.
    """

    thread_id: str
    birth: int
    next_index: int = 0
    lease: RootLease | None = None
    spaces: dict[str, Space] = field(default_factory=dict)
    rules: tuple[float | None, str | None] | None = None

    def add(self, name: str) -> Space:
        """Make a namespace."""
        space = self.spaces[name] = Space(self.birth << _INDEX_BITS | self.next_index, name)
        self.next_index += 1
        return space

    def object_keys(self) -> list[str]:
        """Return the keys of all objects that it names."""
        return [key for space in self.spaces.values() for key in space.object_keys()]

    def is_empty(self) -> bool:
        """Tell whether nothing is to be kept."""
        return not self.spaces and self.lease is None and self.rules is None


def new_root(thread_id: str) -> Root:
    """Make a root of nothing."""
    return Root(thread_id, secrets.randbits(63) | 1)


def seal_root(root: Root) -> bytes:
    """Make a root's bytes: never the same twice, so that a writer knows its own, and an etag is used once.

    They are the frame's length, the frame, and zeros, see `has_checkpoint`. A root of nothing has no bytes.
    """
    if root.is_empty():
        return b""
    spaces = [
        (
            s.ns & (1 << _INDEX_BITS) - 1,
            s.name,
            s.head,
            s.next_piece,
            s.next_page,
            s.pages,
            _ranges(s.packs),
            list(s.salts.items()),
            _packed(s.entries),
            list(s.pieces.items()),
        )
        for s in root.spaces.values()
    ]
    content = [_VERSION, secrets.token_bytes(8), root.thread_id, root.birth, root.next_index, root.lease, spaces]
    if root.rules is not None:  # which a version that doesn't know them must not overlook
        content = [_WITH_RULES, *content[1:], root.rules]
    frame = seal("root", packb(content, default=tuple))
    data = len(frame).to_bytes(4, "big") + frame
    if all(space.head is None for space in root.spaces.values()):
        return data + bytes(-len(data) % _EMPTY_UNIT)
    return data if len(data) % _EMPTY_UNIT else data + b"\0"


def frame_of(data: bytes) -> bytes:
    """Return the frame that a root's bytes begin with."""
    return data[4 : 4 + int.from_bytes(data[:4], "big")]


def open_root(data: bytes, thread_id: str | None) -> Root | None:
    """Read a root; None if it is one of nothing.

    Args:
        data: The bytes.
        thread_id: Whose it is; None: it isn't known.

    Raises:
        CorruptCheckpointError: It is damaged, or another thread's.
        SchemaVersionError: A newer perdure has written it.
    """
    if not data:
        return None
    try:
        version, *rest = unpackb(unseal(frame_of(data)).content)
        if version not in (_VERSION, _WITH_RULES):
            raise SchemaVersionError(f"a thread's root is of version {version}, and this perdure knows {_WITH_RULES}")
        root = _opened_root(*rest[1:])
    except (TypeError, ValueError, AttributeError, LookupError) as e:
        raise CorruptCheckpointError("a thread's root holds something else", thread_id=thread_id) from e
    if thread_id is not None and thread_id != root.thread_id:
        raise CorruptCheckpointError(f"a thread's root is that of {root.thread_id!r}", thread_id=thread_id)
    return root


def _opened_root(thread_id: str, birth: int, next_index: int, lease: Any, spaces: Any, rules: Any = None) -> Root:
    if not isinstance(thread_id, str):
        raise TypeError("an id is no text")
    root = Root(thread_id, birth, next_index, None if lease is None else RootLease(*lease))
    if rules is not None:
        ttl, hold = rules
        root.rules = ttl, hold
    for index, space, head, next_piece, next_page, pages, packs, salts, entries, pieces in spaces:
        root.spaces[space] = Space(
            birth << _INDEX_BITS | index,
            space,
            head,
            next_piece,
            next_page,
            [Page(*page) for page in pages],
            [pack for low, high in packs for pack in _numbers(low, high)],
            dict(salts),
            _unpacked(entries),
            dict(pieces),
        )
    return root


def _numbers(low: int, high: int) -> range:
    if not 0 <= low <= high < low + _MOST_PACKS:
        raise ValueError("no packs")
    return range(low, high + 1)


def _ranges(numbers: list[int]) -> list[list[int]]:
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def _packed(entries: Mapping[str, Entry]) -> list[Any]:
    return [[i, e.row, [[t, *w] for t, w in e.tasks.items()], e.is_gone] for i, e in entries.items()]


def _unpacked(stored: Any) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for checkpoint_id, row, tasks, is_gone in stored:
        opened = None if row is None else Row(*row)
        if not isinstance(checkpoint_id, str) or (opened and not isinstance(opened.frame, bytes)):
            raise TypeError("an id is no text, or a frame no bytes")
        found[checkpoint_id] = Entry(opened, {t: (path, data) for t, path, data in tasks}, is_gone)
    return found


def seal_page(entries: Mapping[str, Entry]) -> bytes:
    """Make a page's bytes: never the same twice, so that nobody takes what another has left for their own."""
    return seal("page", packb((secrets.token_bytes(8), _packed(entries)), default=tuple))


def open_page(data: bytes) -> dict[str, Entry]:
    """Read a page.

    Raises:
        CorruptCheckpointError: It is damaged.
    """
    try:
        _, entries = unpackb(unseal(data).content)
        return _unpacked(entries)
    except (TypeError, ValueError, AttributeError, LookupError) as e:
        raise CorruptCheckpointError("a page holds something else") from e


def seal_pack(pieces: Mapping[int, bytes]) -> bytes:
    """Make a pack's bytes: never the same twice either.

    Each piece has a checksum, so the pack has none: what is damaged can be named exactly.
    """
    return packb((secrets.token_bytes(8), list(pieces.items())))


def open_pack(data: bytes) -> dict[int, bytes]:
    """Read a pack; of a damaged one what can be read: whoever misses a piece says of what."""
    try:
        _, pieces = unpackb(data)
        return {number: piece for number, piece in pieces if type(number) is int and type(piece) is bytes}
    except (TypeError, ValueError):
        return {}
