"""The statements that operations yield, on objects: names and values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from time import time
from typing import Any

from perdure.checkpoint.objects.roots import PACK
from perdure.checkpoint.tables.named import NamedDialect
from perdure.database.operation import Batch, Replies, Rows


class ObjectDialect(NamedDialect):
    """A namespace's number is one that no other has, of whatever thread."""

    def checkpoint_and_writes(self, replies: Replies) -> tuple[Sequence[Any] | None, Rows]:
        [rows] = replies
        return (rows[0], rows[1:]) if rows else (None, ())

    def deleting_checkpoint(self, ns: int, checkpoint_id: str) -> Batch:
        return [("delete_checkpoint", (ns, checkpoint_id))]

    def unused(self, held: Sequence[int], used: set[int]) -> list[int]:
        # A pack's numbers are all given, whether it has them or not; what a pack has stays as long as one is needed.
        whole = Counter(number // PACK for number in held)
        needed = {number // PACK for number in used}
        return [n for n in super().unused(held, used) if whole[n // PACK] < PACK or n // PACK not in needed]

    def changing_piece(self, ns: int, number: int, frame: bytes) -> Batch:
        return [("change_piece", (ns, number, frame))]

    def lease_end(self, ttl: float) -> float:
        return time() + ttl
