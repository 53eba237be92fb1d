"""The dialect of backends that aren't asked in SQL: a statement's text is its name, and they answer it themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from perdure.checkpoint.address import Scope
from perdure.checkpoint.records import Prepared
from perdure.checkpoint.tables.dialect import Cursor, Dialect
from perdure.database.operation import Batch, Statement


class _Names(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return name


class NamedDialect(Dialect):
    """A statement's text is its name; a namespace's number may be any value."""

    def __init__(self) -> None:
        super().__init__(_Names())

    def storing(
        self, ns: Any, one: Prepared, frame: bytes, pieces: Sequence[bytes], number: int, *, is_new: bool
    ) -> tuple[list[Statement], int]:
        row = (ns, one.checkpoint_id, one.parent_id, one.run_id, frame)
        return [*self.adding_pieces(ns, pieces, number), ("add_checkpoint", row)], number + len(pieces)

    def piece_row(self, ns: Any, number: int, frame: bytes) -> tuple[Any, ...]:
        return ns, number, frame

    def settling(self, ns: Any) -> Batch:
        return [("settle", (ns,))]

    def asking_checkpoint(self, thread_id: str, checkpoint_ns: str, checkpoint_id: str | None) -> Batch:
        return [("one_checkpoint", (thread_id, checkpoint_ns, checkpoint_id))]

    def asking_pieces(self, keys: Iterable[tuple[Any, int]]) -> Statement:
        return "pieces", tuple(keys)

    def asking_page(self, scope: Scope, cursor: Cursor, size: int, wanted: Mapping[str, Any] | None) -> Statement:
        return "page", (scope, cursor, size)
