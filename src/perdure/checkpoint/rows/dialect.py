"""What the shared operations ask of rows: by the statements' names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from perdure.checkpoint.address import Scope
from perdure.checkpoint.records import Prepared
from perdure.checkpoint.rows.statements import STATEMENTS
from perdure.checkpoint.tables.dialect import Cursor, Dialect
from perdure.database.operation import Batch, Replies, Rows, Statement


class RowDialect(Dialect):
    """A statement's text is its name. A namespace's number is a `Space`."""

    def __init__(self) -> None:
        super().__init__({name: name for name in STATEMENTS})

    def storing(
        self, ns: Any, one: Prepared, frame: bytes, pieces: Sequence[bytes], number: int, *, is_new: bool
    ) -> tuple[list[Statement], int]:
        row = (ns, one.checkpoint_id, one.parent_id, one.run_id, frame)
        return [*self.adding_pieces(ns, pieces, number), ("add_checkpoint", row)], number + len(pieces)

    def piece_row(self, ns: Any, number: int, frame: bytes) -> tuple[Any, ...]:
        return ns, number, frame

    def advancing(self, ns: Any, one: Prepared, number: int) -> Batch:
        return () if one.checkpoint_id is None else [("advance", (ns, one.checkpoint_id, number))]

    def deleting_checkpoints(self, ns: Any, checkpoint_ids: Collection[str]) -> Batch:
        return [("delete_checkpoints", (ns, checkpoint_ids))]

    def changing_piece(self, ns: Any, number: int, frame: bytes) -> Batch:
        return [("add_piece", (ns, number, frame))]

    def settling(self, ns: Any) -> Batch:
        return [("settle", (ns,))]

    def asking_checkpoint(self, thread_id: str, checkpoint_ns: str, checkpoint_id: str | None) -> Batch:
        return [("one_checkpoint", (thread_id, checkpoint_ns, checkpoint_id))]

    def checkpoint_and_writes(self, replies: Replies) -> tuple[Sequence[Any] | None, Rows]:
        [rows] = replies
        return (rows[0] if rows else None), [row[1:] for row in rows[1:]]

    def asking_pieces(self, keys: Iterable[tuple[Any, int]]) -> Statement:
        return "pieces", tuple(keys)

    def asking_page(self, scope: Scope, cursor: Cursor, size: int, wanted: Mapping[str, Any] | None) -> Statement:
        return "page", (scope, cursor, size)
