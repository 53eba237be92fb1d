"""The statements that operations yield, on objects: names and values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from time import time
from typing import Any

from perdure.checkpoint.address import Scope
from perdure.checkpoint.objects.roots import PACK
from perdure.checkpoint.records import Prepared
from perdure.checkpoint.tables.dialect import Cursor, Dialect
from perdure.database.operation import Batch, Replies, Rows, Statement


class _Names(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return name


class ObjectDialect(Dialect):
    """A statement's text is its name."""

    def __init__(self) -> None:
        super().__init__(_Names())

    def asking_checkpoint(self, thread_id: str, checkpoint_ns: str, checkpoint_id: str | None) -> Batch:
        return [("one_checkpoint", (thread_id, checkpoint_ns, checkpoint_id))]

    def checkpoint_and_writes(self, replies: Replies) -> tuple[Sequence[Any] | None, Rows]:
        [rows] = replies
        return (rows[0], rows[1:]) if rows else (None, ())

    def storing(
        self, ns: int, one: Prepared, frame: bytes, pieces: Sequence[bytes], number: int, *, is_new: bool
    ) -> tuple[list[Statement], int]:
        row = (ns, one.checkpoint_id, one.parent_id, one.run_id, frame)
        return [*self.adding_pieces(ns, pieces, number), ("add_checkpoint", row)], number + len(pieces)

    def piece_row(self, ns: int, number: int, frame: bytes) -> tuple[Any, ...]:
        return ns, number, frame

    def deleting_checkpoint(self, ns: int, checkpoint_id: str) -> Batch:
        return [("delete_checkpoint", (ns, checkpoint_id))]

    def unused(self, held: Sequence[int], used: set[int]) -> list[int]:
        # A pack's numbers are all given, whether it has them or not; what a pack has stays as long as one is needed.
        whole = Counter(number // PACK for number in held)
        needed = {number // PACK for number in used}
        return [n for n in super().unused(held, used) if whole[n // PACK] < PACK or n // PACK not in needed]

    def asking_pieces(self, keys: Iterable[tuple[int, int]]) -> Statement:
        return "pieces", tuple(keys)

    def changing_piece(self, ns: int, number: int, frame: bytes) -> Batch:
        return [("change_piece", (ns, number, frame))]

    def settling(self, ns: int) -> Batch:
        return [("settle", (ns,))]

    def asking_page(self, scope: Scope, cursor: Cursor, size: int, wanted: Mapping[str, Any] | None) -> Statement:
        return "page", (scope, cursor, size)

    def lease_end(self, ttl: float) -> float:
        return time() + ttl
