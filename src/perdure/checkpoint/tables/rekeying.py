"""Operations that put rows under the current key: some at a time, so that others have their turn in between.

A row is the same frame under whatever key, so nothing but the envelope changes: no number, reference or checksum. Rows
under the current key are left alone, so a second call does nothing, and one that follows a call which was killed does
what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

from perdure.checkpoint import records
from perdure.checkpoint.records import located
from perdure.checkpoint.sealing import Rekeyed
from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.checkpoint.tables.dialect import Dialect
from perdure.checkpoint.tables.writing import opened
from perdure.database.operation import Batch, Op
from perdure.errors import CorruptCheckpointError, UsageError

_SOME: Final = 100
"""Rows of one transaction."""


class At(NamedTuple):
    """Where a thread's rekeying stands.

    Attributes:
        checkpoint_ns: The namespace; those before it are done, in the order of their names.
        rows: What of it comes next.
        behind: The last piece or checkpoint that is done; None: none is.
        has_changed: Whether anything of the namespace had to be rewritten.
    """

    checkpoint_ns: str
    rows: Literal["piece", "record", "writes"]
    behind: Any = None
    has_changed: bool = False


def first(dialect: Dialect) -> At | None:
    """Return where to begin.

    Raises:
        UsageError: The saver has no keys.
    """
    if dialect.vault is None:
        raise UsageError(
            "this saver has no keys",
            hint="open it with serde=EncryptedSerializer.from_keys(...), the new key as the current one",
        )
    return At("", "piece")


def rekey_some(dialect: Dialect, serde: SerializerProtocol, thread_id: str, at: At) -> Op[tuple[Rekeyed, At | None]]:
    """Put some rows of a thread under the current key; tell where to go on, None at the end.

    Raises:
        CorruptCheckpointError: A row can't be read.
    """
    [spaces] = yield [(dialect.sql["namespaces_of_thread"], (thread_id,))]
    left = sorted((name, ns) for ns, name in spaces if name >= at.checkpoint_ns)
    if not left:
        return Rekeyed(), None
    (name, ns), *others = left
    if name != at.checkpoint_ns:
        at = At(name, "piece")
    part = _Part(dialect.at(thread_id, name), ns, (thread_id, name))
    following: At | None
    behind: Any
    if at.rows == "piece":
        behind = yield from part.pieces(at.behind)
        following = at._replace(behind=behind) if behind is not None else At(name, "record")
    elif at.rows == "record":
        behind = yield from part.records(at.behind, serde)
        following = at._replace(behind=behind) if behind is not None else At(name, "writes")
    else:
        yield from part.writes()
        following = At(others[0][0], "piece") if others else None
    has_changed = at.has_changed or part.done.rewritten > 0
    if following is not None and following.checkpoint_ns == name:
        return part.done, following._replace(has_changed=has_changed)
    if has_changed:
        yield dialect.settling(ns)  # an object store may still have the old rows beside the new ones
    return part.done, following


class _Part:
    """Some rows of a namespace."""

    def __init__(self, dialect: Dialect, ns: Any, place: tuple[str, str]) -> None:
        self.dialect = dialect
        self.ns = ns
        self.place = place
        self.done = Rekeyed()

    def pieces(self, behind: int | None) -> Op[int | None]:
        """Rekey the next pieces; return the last one's number, None if there is none."""
        [held] = yield [(self.dialect.sql["pieces_of_namespace"], (self.ns,))]
        numbers: list[int] = sorted(number for (number,) in held if behind is None or number > behind)[:_SOME]
        if not numbers:
            return None
        [rows] = yield [self.dialect.asking_pieces([(self.ns, number) for number in numbers])]
        changes: list[Any] = []
        for _, number, data in rows:
            if (new := self._new(data, ("piece", number))) is not None:
                changes += self.dialect.changing_piece(self.ns, number, new)
        yield from _sent(changes)
        return numbers[-1]

    def records(self, behind: str | None, serde: SerializerProtocol) -> Op[str | None]:
        """Rekey the next checkpoints, from the head on; return the last one's id, None if there is none."""
        sql = self.dialect.sql
        if behind is None:
            [heads] = yield [(sql["head"], self.place)]
            if not heads or heads[0][0] is None:
                return None
            behind = heads[0][0] + "!"  # in front of it
        [rows] = yield [(sql["older_records"], (self.ns, behind, _SOME))]
        changes: list[Any] = []
        for checkpoint_id, data in rows:
            if (new := self._new(data, ("record", checkpoint_id))) is not None:
                changes.append((sql["change_record"], (new, self.ns, checkpoint_id)))
            if self.dialect.searches:
                record = yield from opened(self.dialect, self.ns, data, (*self.place, checkpoint_id))
                metadata = records.decode_header(serde, record.blob()).metadata
                changes += self.dialect.searching(self.ns, checkpoint_id, metadata)
        yield from _sent(changes)
        return rows[-1][0] if rows else None

    def writes(self) -> Op[None]:
        """Rekey all rows of pending writes."""
        [rows] = yield [(self.dialect.sql["writes_of_namespace"], (self.ns,))]
        changes = [
            (self.dialect.sql["change_writes"], (new, self.ns, checkpoint_id, task_id))
            for checkpoint_id, task_id, task_path, data in rows
            if (new := self._new(data, ("writes", checkpoint_id, task_id, task_path))) is not None
        ]
        yield from _sent(changes)

    def _new(self, data: bytes, place: Sequence[str | int]) -> bytes | None:
        """Return a row under the current key; None: it is."""
        sealing = self.dialect.sealing
        if sealing.is_current(data):
            self.done = self.done.plus(Rekeyed(0, 1))
            return None
        self.done = self.done.plus(Rekeyed(1, 0))
        try:
            return sealing.close(sealing.open(data, *place), *place)
        except CorruptCheckpointError as e:
            where = (*self.place, "" if place[0] == "piece" else str(place[1]))
            raise located(e, where, f"({' '.join(map(str, place))})") from e


def _sent(changes: Batch) -> Op[None]:
    if changes:
        yield changes
