"""What a backend adds to the shared operations: its statements by name, and the values that they take."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from typing import Any, ClassVar, NamedTuple, Self

from perdure.checkpoint import layout
from perdure.checkpoint.address import Scope
from perdure.checkpoint.chains import Value
from perdure.checkpoint.diagnosis import Check
from perdure.checkpoint.layout import Pieces, Record
from perdure.checkpoint.records import Prepared, TaskRecord, located
from perdure.checkpoint.sealing import PLAIN, Sealing, Vault
from perdure.checkpoint.tables.sights import Known
from perdure.database.operation import Batch, Op, Replies, Rows, Statement
from perdure.errors import CorruptCheckpointError


class Found(NamedTuple):
    """A stored checkpoint, with the pieces that its values and writes are to be put together of.

    Values that were `at_hand` need none.
    """

    place: tuple[str, str, str]
    parent_id: str | None
    record: Record
    rows: list[TaskRecord]
    pieces: Pieces
    at_hand: Mapping[str, Value]

    def values(self) -> dict[str, Value]:
        """Put the values together.

        Raises:
            CorruptCheckpointError: Pieces are missing, damaged, or don't fit together.
        """
        values: dict[str, Value] = {}
        for channel, ref in self.record.refs.items():
            if channel in self.at_hand:
                values[channel] = self.at_hand[channel]
                continue
            try:
                values[channel] = self.pieces.value(ref, self.record.versions.get(channel))
            except CorruptCheckpointError as e:
                raise located(e, self.place, channel) from e
        return values

    def tasks(self) -> list[TaskRecord]:
        """Put the writes together.

        Raises:
            CorruptCheckpointError: As `values`.
        """
        try:
            return [self.pieces.task(task) for task in self.rows]
        except CorruptCheckpointError as e:
            raise located(e, self.place, "(pending writes)") from e


class Cursor(NamedTuple):
    """Where a walk over checkpoints stands: behind this id and namespace number."""

    checkpoint_id: str | None
    ns: int


class _Nowhere(Sealing):
    """Stands for a namespace that an operation hasn't named: nothing may be stored or read as if it were plain."""

    def close(self, frame: bytes, *place: str | int) -> bytes:
        raise AssertionError("an operation that encrypts must say where")

    def open(self, data: bytes, *place: str | int) -> bytes:
        raise AssertionError("an operation that decrypts must say where")


class Dialect(ABC):
    """The statements of one backend. Its methods make statements and do no I/O.

    Args:
        sql: The statements by name.

    Attributes:
        vault: What encrypts frames; None: they are stored as they are.
        sealing: The same for one namespace, of a dialect that is `at` it.
    """

    searches: ClassVar[bool] = False
    """Whether metadata is stored for filters."""

    vault: Vault | None = None
    sealing: Sealing = PLAIN

    def __init__(self, sql: Mapping[str, str]) -> None:
        self.sql = sql

    def with_vault(self, vault: Vault | None) -> Self:
        """Return a dialect that encrypts. Frames are closed and opened by one that is `at` their namespace."""
        made = copy(self)
        made.vault = vault
        made.sealing = PLAIN if vault is None else _Nowhere()
        return made

    def at(self, thread_id: str, checkpoint_ns: str) -> Self:
        """Return the dialect of a namespace."""
        if self.vault is None:
            return self
        made = copy(self)
        made.sealing = self.vault.at(thread_id, checkpoint_ns)
        return made

    def of(self, ns: Any) -> Op[Self]:
        """Return the dialect of a namespace whose number is all that is known; it must be there."""
        if self.vault is None:
            return self
        [[place]] = yield [(self.sql["place_of_namespace"], (ns,))]
        return self.at(*place)

    def asking_guard(self, one: Prepared) -> list[Statement]:
        """Return what makes sure that nobody else writes to the namespace, and then asks for all a commit must know.

        The last one's row: the namespace's number, its head, the number of the next piece, the parent's record, and
        whether the checkpoint is stored already with this parent. No row: there is no such namespace.
        """
        return [(self.sql["guard"], (one.thread_id, one.checkpoint_ns, one.parent_id, one.checkpoint_id))]

    def recalled(self, one: Prepared) -> Known | None:
        """Return what is known for sure of a commit's namespace, if it allows the commit; None: ask."""
        return None

    def remember(self, one: Prepared, known: Known | None) -> None:  # noqa: B027 - most have no use for it
        """Take note of a namespace after a commit's checkpoint, if the transaction stands; None: ask the next time."""

    def adding_task(self, ns: int, checkpoint_id: str | None, task: TaskRecord) -> Statement:
        """Return what stores a task's writes, unless it has some; it answers with a row if it did."""
        return self.sql["add_writes"], (
            ns,
            checkpoint_id,
            task.task_id,
            task.task_path,
            layout.seal_task(self.sealing, task, checkpoint_id),
        )

    def asking_checkpoint(self, thread_id: str, checkpoint_ns: str, checkpoint_id: str | None) -> Batch:
        """Return what reads a checkpoint, or the head, and its writes, of one moment."""
        where = (thread_id, checkpoint_ns, checkpoint_id)
        if checkpoint_id is None:
            return [(self.sql["latest_checkpoint"], where[:2]), (self.sql["writes_at"], where)]
        return [(self.sql["one_checkpoint"], where), (self.sql["writes_at"], where)]

    def checkpoint_and_writes(self, replies: Replies) -> tuple[Sequence[Any] | None, Rows]:
        """Return what was read: the row (namespace number, id, parent, frame), and the rows of the writes."""
        rows, writes = replies
        return (rows[0] if rows else None), writes

    @abstractmethod
    def storing(
        self, ns: int, one: Prepared, frame: bytes, pieces: Sequence[bytes], number: int, *, is_new: bool
    ) -> tuple[list[Statement], int]:
        """Return what stores a checkpoint and its new pieces, and the number of the next piece after that.

        Args:
            ns: The namespace's number.
            one: The commit.
            frame: Of the checkpoint's record.
            pieces: Frames of the pieces, which count from `number`.
            number: Of the first piece.
            is_new: Whether the checkpoint is the head: then there is none yet that it replaces.
        """

    def adding_pieces(self, ns: int, pieces: Iterable[bytes], number: int) -> list[Statement]:
        """Return what stores pieces, which count from `number`."""
        add = self.sql["add_piece"]
        return [(add, self.piece_row(ns, at, frame)) for at, frame in enumerate(pieces, number)]

    @abstractmethod
    def piece_row(self, ns: int, number: int, frame: bytes) -> tuple[Any, ...]:
        """Return the values of a piece's row."""

    def deleting_checkpoint(self, ns: int, checkpoint_id: str) -> Batch:
        """Return what deletes a checkpoint and its writes, but no piece."""
        return [(self.sql[name], (ns, checkpoint_id)) for name in ("delete_checkpoint", "delete_writes_of_checkpoint")]

    def deleting_checkpoints(self, ns: int, checkpoint_ids: Collection[str]) -> Batch:
        """Return what deletes several checkpoints and their writes, but no piece."""
        return [statement for one in checkpoint_ids for statement in self.deleting_checkpoint(ns, one)]

    def deleting_piece(self, ns: int, number: int) -> Batch:
        """Return what deletes a piece."""
        return [(self.sql["delete_piece"], (ns, number))]

    @abstractmethod
    def changing_piece(self, ns: int, number: int, frame: bytes) -> Batch:
        """Return what replaces a piece by what is the same under another key."""

    def searching(self, ns: int, checkpoint_id: str, metadata: Mapping[str, Any]) -> Batch:
        """Return what notes metadata for filters anew, where some is stored for them."""
        return ()

    def unused(self, held: Sequence[int], used: set[int]) -> list[int]:
        """Return which of the numbers that `pieces_of_namespace` gave are of pieces that nothing needs."""
        return [number for number in held if number not in used]

    @abstractmethod
    def asking_pieces(self, keys: Iterable[tuple[int, int]]) -> Statement:
        """Return what reads pieces, by namespace's number and their own; the rows are both and the frame."""

    def advancing(self, ns: int, one: Prepared, number: int) -> Batch:
        """Return what notes the head and the next piece's number after a commit, where those are stored."""
        return ()

    def settling(self, ns: int) -> Batch:
        """Return what notes both anew after rows were deleted or copied, where those are stored."""
        return ()

    def asking_page(self, scope: Scope, cursor: Cursor, size: int, wanted: Mapping[str, Any] | None) -> Statement:
        """Return what reads a walk's next rows. Those whose metadata can't have what is `wanted` may be left out."""
        name = "page_of_all"
        if scope.thread_id is not None:
            name = "page_of_thread" if scope.checkpoint_ns is None else "page_of_namespace"
        values = (scope.thread_id, scope.checkpoint_ns, scope.checkpoint_id, *cursor, size)
        return self.sql[name], values

    def diagnosing(self) -> Op[list[Check]]:
        """Look at how the database is set up; a backend that has nothing to say looks at nothing."""
        yield []
        return []

    def limited(self, limit: int | None) -> int | None:
        """Return what a statement's LIMIT takes."""
        return limit

    def lease_end(self, ttl: float) -> float:
        """Return what statements take for the end of a lease that lasts so many seconds."""
        return ttl
