"""How checkpoints, values and writes lie in a store of rows: what its rows' bytes mean; see docs/storage-format.md.

1. A checkpoint's record refers to each value: the value itself if it is short, else the numbers of its chain's pieces.
2. A piece is a frame: a whole value, or a script. Pieces are never changed; checkpoints of a namespace share them.
3. A task's writes that its checkpoint's values contain anyway aren't stored twice: they refer to a chain, or say where
   in a new piece they are.
4. The writes that led from a head to the next checkpoint lie in the latter's record, if they are short: its *led*. They
   are pending writes of its parent, and newer than what the parent has in rows of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from ormsgpack import packb, unpackb

from perdure.checkpoint import chains, deltas
from perdure.checkpoint.chains import Chain, Link, Next, Value, chain_of
from perdure.checkpoint.frames import CHECKSUM, seal, unseal
from perdure.checkpoint.records import Blob, TaskRecord, Write, merge_writes
from perdure.checkpoint.sealing import Sealing
from perdure.errors import CorruptCheckpointError
from perdure.tuples import build

Ref = Sequence[Any]
"""Where a value is: `[type, bytes]` themselves, or `[type, check, steps]` of its chain, as a list."""

_CHAINED: Final = 3  # the length of a reference to a chain

StoredWrite = tuple[Any, ...]
"""A `Write`; or index, channel, and a reference to a chain, if the value is one that a checkpoint has; or index,
channel, type, first bytes, and where the others are: piece, offset, length, and the piece's checksum."""

_PLAIN: Final = 4
_REFERRED: Final = 5
_SHARED: Final = 8
_LEAST_SHARED: Final = 96
_HEADERS: Final = (1, 3, 0)  # of lists and dicts whose items a piece has, and of nothing


class Record(NamedTuple):
    """What is stored of a checkpoint, but for the values.

    Attributes:
        versions: The channels' versions.
        refs: Where the values are.
        header_type: The type of the header.
        header: Everything else of the checkpoint, encoded.
        body: All of it as one text, if it is long: then it is stored as the values are, by what changed.
    """

    versions: dict[str, Any]
    refs: dict[str, Ref]
    header_type: str
    header: bytes
    body: Value | None = None

    def blob(self) -> Blob:
        """Return the header."""
        return self.header_type, self.header

    def numbers(self) -> set[int]:
        """Return the numbers of the pieces that it is made of, or refers to."""
        found = numbers_of_all(self.refs, ())
        return found if self.body is None else found.union(numbers_of(self.body.ref))


class Outline(NamedTuple):
    """A checkpoint's row, opened.

    Attributes:
        parts: As stored: those of the record; or the reference to its body, and the numbers of the values' pieces.
        led: Writes of the parent's tasks that led to this checkpoint.
        record: The record; None: its body must be read first.
    """

    parts: Sequence[Any]
    led: Sequence[TaskRecord]
    record: Record | None

    def numbers(self) -> set[int]:
        """Return the numbers of all pieces that the checkpoint needs, its parent's writes included.

        Raises:
            CorruptCheckpointError: They are not numbers.
        """
        led = numbers_of_all({}, self.led)
        if self.record is not None:
            return led | self.record.numbers()
        body, steps = self.parts
        return led.union(numbers_of(body), counted(steps))

    def body(self) -> list[int]:
        """Return the numbers of the pieces that the record is made of."""
        return [] if self.record is not None else numbers_of(self.parts[0])

    def complete(self, pieces: Pieces) -> Record:
        """Return the record.

        Raises:
            CorruptCheckpointError: Its pieces are missing, damaged, or don't fit together.
        """
        if self.record is not None:
            return self.record
        value = pieces.value(self.parts[0])
        return _record_of(unpackb(value.data))._replace(body=_with_ref(value, self.parts[0]))


BODY: Final = "record"
"""The type of a record that is stored as a value."""

LEAST_BODY: Final = 2048
"""Bytes of a record beyond which it is stored by what changed: versions and what nodes have seen grow with a graph."""


def seal_record(sealing: Sealing, record: Record, checkpoint_id: str, led: Sequence[TaskRecord] = ()) -> bytes:
    """Make the frame of a checkpoint's row, with writes that led to the checkpoint."""
    return _seal_row(sealing, _parts_of(record), led, checkpoint_id)


def seal_without_led(sealing: Sealing, outline: Outline, checkpoint_id: str) -> bytes:
    """Make the frame of a checkpoint's row whose writes lie elsewhere now."""
    if outline.record is not None:
        return seal_record(sealing, outline.record, checkpoint_id)
    return _seal_row(sealing, outline.parts, (), checkpoint_id)


def _seal_row(sealing: Sealing, parts: Sequence[Any], led: Sequence[TaskRecord], checkpoint_id: str) -> bytes:
    content = (*parts, [task[:3] for task in led]) if led else parts
    return sealing.close(seal("record", packb(content), place=checkpoint_id), "record", checkpoint_id)


def _parts_of(record: Record) -> Sequence[Any]:
    if record.body is None:
        return record[:4]
    return record.body.ref, _stepped(sorted(numbers_of_all(record.refs, ())))


def open_row(sealing: Sealing, frame: bytes, checkpoint_id: str) -> Outline:
    """Read the frame of a checkpoint's row.

    Raises:
        CorruptCheckpointError: It isn't one, or it is another checkpoint's.
    """
    try:
        parts = unpackb(_content("record", sealing.open(frame, "record", checkpoint_id), checkpoint_id))
        is_whole = isinstance(parts[0], dict)
        count = 4 if is_whole else 2
        (led,) = parts[count:] or [()]
    except (TypeError, ValueError, LookupError) as e:
        raise CorruptCheckpointError("a checkpoint's row holds no record") from e
    led = _opened_led(led) if led else ()
    if is_whole:
        return Outline(parts[:4], led, _record_of(parts[:4]))
    body, steps = parts[:2]
    if not (is_chain(body, BODY) and isinstance(steps, list)):
        raise CorruptCheckpointError("a checkpoint's row refers to its record in an unknown form")
    return Outline((body, steps), led, None)


def _record_of(parts: Any) -> Record:
    try:
        versions, refs, header_type, header = parts
        is_known = all(isinstance(ref, list) and len(ref) in (2, _CHAINED) for ref in refs.values())
    except (TypeError, ValueError, AttributeError) as e:
        raise CorruptCheckpointError("a checkpoint's row holds no record") from e
    if not is_known:
        raise CorruptCheckpointError("a checkpoint's record has references of an unknown form")
    return Record(versions, refs, header_type, header)


_MOST_LED = 1024
_WRITE_COSTS = 32


def fits_in_record(tasks: Sequence[TaskRecord]) -> bool:
    """Tell whether writes are short enough to lie in the record of the checkpoint that they led to.

    Records are read at each commit, and by whoever lists them: they are to stay well below a page.
    """
    cost = 0
    for task in tasks:
        for write in task.writes:
            cost += _WRITE_COSTS + len(write[3])
    return cost <= _MOST_LED


def _opened_led(found: Any) -> list[TaskRecord]:
    try:
        return [_opened_task(task_id, task_path, writes) for task_id, task_path, writes in found]
    except (TypeError, ValueError) as e:
        raise CorruptCheckpointError("a checkpoint's record has writes of an unknown form") from e


def _opened_task(task_id: Any, task_path: Any, stored: Any) -> TaskRecord:
    writes: list[Any] = [tuple(write) for write in stored]
    if not (isinstance(task_id, str) and isinstance(task_path, str)):
        raise CorruptCheckpointError("stored writes name no task")
    if not all(len(write) in (_PLAIN, _REFERRED, _SHARED) for write in writes):
        raise CorruptCheckpointError("a row of writes holds something else")
    return TaskRecord(task_id, task_path, writes)


def _content(kind: str, frame: bytes, place: str) -> bytes:
    found, content, is_delta = unseal(frame, place)
    if found != kind or is_delta:
        raise CorruptCheckpointError(f"a row of {kind!r} holds a {found!r}")
    return content


# -- references


def ref_of(chain: Chain) -> Ref:
    """Make the reference to a chain."""
    return [chain.kind, chain.check, _steps(chain.links)]


def ref_after(before: Ref | None, chain: Chain) -> Ref:
    """Make the reference to a chain that mostly is one link longer than another, whose reference is known."""
    links = chain.links
    if before is not None and len(before[2]) == len(links) - 1:
        return [chain.kind, chain.check, [*before[2], links[-1].number - links[-2].number]]
    return ref_of(chain)


def _steps(links: Sequence[Link]) -> list[int]:
    return _stepped([link.number for link in links])


def _stepped(numbers: Iterable[int]) -> list[int]:
    """Return the first number and the differences of the others: one byte each, mostly."""
    steps: list[int] = []
    last = 0
    for number in numbers:
        steps.append(number - last)
        last = number
    return steps


def counted(steps: Any) -> list[int]:
    """Return the numbers that steps stand for.

    Raises:
        CorruptCheckpointError: They are not ascending numbers.
    """
    numbers: list[int] = []
    last = 0
    for step in steps:
        if type(step) is not int or step < 0:
            raise CorruptCheckpointError("a record names its pieces by something else than numbers")
        last += step
        numbers.append(last)
    return numbers


def is_chain(ref: Any, kind: str) -> bool:
    """Tell whether a reference is to a chain of a type."""
    return isinstance(ref, list) and len(ref) == _CHAINED and ref[0] == kind


def is_at(chain: Chain, place: Any, ref: Ref) -> bool:
    """Tell whether a guessed chain is the one that a record refers to."""
    return chain.place == place and chain.check == ref[1] and ref_of(chain) == ref


def numbers_of(ref: Ref) -> list[int]:
    """Return the numbers of the pieces that a reference names.

    Raises:
        CorruptCheckpointError: They are not ascending numbers.
    """
    return counted(ref[2]) if len(ref) == _CHAINED else []


def numbers_of_all(refs: Mapping[str, Ref], tasks: Iterable[TaskRecord]) -> set[int]:
    """Return the numbers of all pieces that a checkpoint and its writes need."""
    numbers = {number for ref in refs.values() for number in numbers_of(ref)}
    for task in tasks:
        for write in task.writes:
            numbers.update(_numbers_of_write(write))
    return numbers


def _numbers_of_write(write: StoredWrite) -> Sequence[int]:
    if len(write) == _REFERRED:
        return numbers_of(write[2:])
    return write[4:5] if len(write) == _SHARED else ()


def shifted(record: Record, shift: int) -> Record:
    """Return a record whose pieces have got other numbers; it then lies in its row, however long it is."""
    refs = {channel: _shifted_ref(ref, shift) for channel, ref in record.refs.items()}
    return record._replace(refs=refs, body=None)


def _shifted_ref(ref: Ref, shift: int) -> Ref:
    if len(ref) != _CHAINED:
        return ref
    kind, check, (first, *steps) = ref
    return [kind, check, [first + shift, *steps]]


# -- pieces


def seal_piece(kind: str, new: Next) -> bytes:
    """Make the frame of a chain's next link, not encrypted: chains know it by its checksum."""
    if isinstance(new.content, bytes):
        return seal(kind, new.content)
    return seal(kind, deltas.pack(new.content, new.level), is_delta=True)


class Pieces:
    """Pieces that were read; each is opened once.

    Args:
        frames: By number.
        place: What the numbers count in.
        sealing: Opens them.
    """

    def __init__(self, frames: Mapping[int, bytes], place: Any, sealing: Sealing) -> None:
        self._frames = frames
        self._place = place
        self._sealing = sealing
        self._opened: dict[int, tuple[str, Link]] = {}
        self._last: Value | None = None

    def value(self, ref: Ref, version: Any = None) -> Value:
        """Put a value together.

        Raises:
            CorruptCheckpointError: Its pieces are missing, damaged, or don't fit together.
        """
        if len(ref) != _CHAINED:
            return Value(ref[0], ref[1], version)
        kind, check, _ = ref
        last = self._last
        if last is not None and last.ref == ref:
            return _with_ref(Value(kind, last.data, version, last.chain), ref)  # a write that is the next value
        links = tuple([self._link(number, kind) for number in numbers_of(ref)])
        chain = chain_of(kind, links, self._place, check)
        value = Value(kind, chains.checked(chain), version, chains.without_whole(chain))
        self._last = _with_ref(value, ref)
        return value

    def task(self, task: TaskRecord) -> TaskRecord:
        """Fill in the writes that lie in pieces.

        Raises:
            CorruptCheckpointError: A piece is missing, damaged, or too short.
        """
        if all(len(write) == _PLAIN for write in task.writes):
            return task
        return task._replace(writes=[self._write(write) for write in task.writes])

    def _write(self, write: StoredWrite) -> Write:
        if len(write) == _PLAIN:
            return write
        if len(write) == _REFERRED:
            index, channel, *ref = write
            return index, channel, ref[0], self.value(ref).data
        index, channel, kind, first, number, at, length, checksum = write
        link = self._link(number, None)
        if link.checksum != checksum:
            raise CorruptCheckpointError("a write lies in a piece that is another than it was")
        text = _text(link)
        if not 0 <= at <= at + length <= len(text):
            raise CorruptCheckpointError("a write reaches beyond the piece that it lies in")
        return index, channel, kind, first + text[at : at + length]

    def _link(self, number: int, kind: str | None) -> Link:
        if number not in self._opened:
            self._opened[number] = self._open(number)
        found, link = self._opened[number]
        if kind is not None and kind != found:
            raise CorruptCheckpointError(f"a piece of a {kind!r} is of a {found!r}")
        return link

    def _open(self, number: int) -> tuple[str, Link]:
        data = self._frames.get(number)
        if data is None:
            raise CorruptCheckpointError("its piece is not in the store")
        data = self._sealing.open(data, "piece", number)
        kind, content, is_delta = unseal(data)
        checksum = data[:CHECKSUM]
        if not is_delta:
            return kind, Link(number, chains.WHOLE, len(content), content, checksum)
        script, level = deltas.unpack(content)
        return kind, Link(number, level, script.weight(), script, checksum)


def _with_ref(value: Value, ref: Ref) -> Value:
    value.ref = ref
    return value


def _text(link: Link) -> bytes:
    return link.content if isinstance(link.content, bytes) else link.content.literal  # type: ignore[union-attr]


# -- writes


def seal_task(sealing: Sealing, task: TaskRecord, checkpoint_id: str | None) -> bytes:
    """Make the frame of a task's writes on top of a checkpoint."""
    place = (checkpoint_id or "", task[0], task[1])
    frame = seal("writes", packb([list(write) for write in task.writes]), place="\0".join(place))
    return sealing.close(frame, "writes", *place)


def open_task(sealing: Sealing, checkpoint_id: str, task_id: str, task_path: str, frame: bytes) -> TaskRecord:
    """Read the frame of a task's writes; `Pieces.task` fills in what lies in pieces.

    Args:
        sealing: Opens the frame.
        checkpoint_id: What they are on top of.
        task_id: Whose they are.
        task_path: The task's.
        frame: The frame.

    Raises:
        CorruptCheckpointError: It isn't one.
    """
    try:
        place = (checkpoint_id, task_id, task_path)
        stored = unpackb(_content("writes", sealing.open(frame, "writes", *place), "\0".join(place)))
        return _opened_task(task_id, task_path, stored)
    except (TypeError, ValueError) as e:
        raise CorruptCheckpointError("a row of writes holds none") from e


def open_tasks(sealing: Sealing, checkpoint_id: str, rows: Iterable[Sequence[Any]]) -> list[TaskRecord]:
    """Read a checkpoint's writes.

    Args:
        sealing: Opens the frames.
        checkpoint_id: What they are on top of.
        rows: Id, path and frame of each task; and maybe the id of the next checkpoint, None, and its record's frame,
            if this checkpoint is its parent.

    Raises:
        CorruptCheckpointError: A frame isn't what it should be.
    """
    tasks: dict[str, TaskRecord] = {}
    newer: Sequence[TaskRecord] = ()
    for task_id, task_path, frame in rows:
        if task_path is None:
            newer = open_row(sealing, frame, task_id).led
        else:
            tasks[task_id] = open_task(sealing, checkpoint_id, task_id, task_path, frame)
    for task in newer:
        old = tasks.get(task.task_id)
        tasks[task.task_id] = task if old is None else old._replace(writes=merge_writes(old.writes, task.writes))
    return list(tasks.values())


def share(task: TaskRecord, fresh: Mapping[str, Value]) -> TaskRecord:
    """Leave out of a task's writes what the values of its checkpoint contain.

    Args:
        task: The writes.
        fresh: The values that the checkpoint stores as chains, by channel.
    """
    writes: list[Any] = [
        _shared(write, fresh[write[1]]) if len(write[3]) >= _LEAST_SHARED and write[1] in fresh else write
        for write in task.writes
    ]
    return build(TaskRecord, (task.task_id, task.task_path, writes))


def _shared(write: Write, value: Value) -> StoredWrite:
    index, channel, kind, data = write
    if len(data) == value.size and kind == value.kind and data == value.data:
        return index, channel, *value.ref
    assert value.chain is not None
    link = value.chain.links[-1]
    if link.content is None:
        return write
    text = _text(link)
    if text.endswith(item := data[_HEADERS[0] :]):  # one item more
        at = len(text) - len(item)
        return index, channel, kind, data[: _HEADERS[0]], link.number, at, len(item), link.checksum
    for header in _HEADERS:
        if (at := text.find(data[header:])) >= 0:
            return index, channel, kind, data[:header], link.number, at, len(data) - header, link.checksum
    return write


def shifted_task(task: TaskRecord, shift: int) -> TaskRecord:
    """Return writes whose pieces have got other numbers."""
    writes: list[Any] = [_shifted_write(write, shift) for write in task.writes]
    return task._replace(writes=writes)


def _shifted_write(write: StoredWrite, shift: int) -> StoredWrite:
    if len(write) == _REFERRED:
        return *write[:2], *_shifted_ref(list(write[2:]), shift)
    if len(write) == _SHARED:
        return *write[:4], write[4] + shift, *write[5:]
    return write
