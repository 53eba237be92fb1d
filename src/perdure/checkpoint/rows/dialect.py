"""What the shared operations ask of rows: by the statements' names."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from perdure.checkpoint.records import Prepared
from perdure.checkpoint.tables.named import NamedDialect
from perdure.database.operation import Batch, Replies, Rows


class RowDialect(NamedDialect):
    """A namespace's number is a `Space`."""

    def advancing(self, ns: Any, one: Prepared, number: int) -> Batch:
        return () if one.checkpoint_id is None else [("advance", (ns, one.checkpoint_id, number))]

    def deleting_checkpoints(self, ns: Any, checkpoint_ids: Collection[str]) -> Batch:
        return [("delete_checkpoints", (ns, checkpoint_ids))]

    def changing_piece(self, ns: Any, number: int, frame: bytes) -> Batch:
        return [("add_piece", (ns, number, frame))]

    def checkpoint_and_writes(self, replies: Replies) -> tuple[Sequence[Any] | None, Rows]:
        [rows] = replies
        return (rows[0] if rows else None), [row[1:] for row in rows[1:]]
