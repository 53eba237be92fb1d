"""SQLite's statements and their values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from time import time
from typing import Any, Final

from perdure.checkpoint.base import ANY_HEAD
from perdure.checkpoint.diagnosis import Check
from perdure.checkpoint.records import Prepared
from perdure.checkpoint.sqlite.diagnosing import checks
from perdure.checkpoint.tables.dialect import Dialect
from perdure.checkpoint.tables.sights import Known, Sights
from perdure.database.operation import Batch, Op, Statement
from perdure.database.sqlite.schema import Tables
from perdure.database.sqltext import load_migrations, load_statements


@cache
def savers_tables() -> Tables:
    """Return the tables of checkpoints."""
    return Tables("perdure_migrations", load_migrations(Path(__file__).with_name("migrations")))


_PIECES: Final = 1 << 32
"""Pieces a namespace may have; a piece's key is the namespace's number times this, plus its own number."""


_MOST_BESIDE: Final = 2048
"""Bytes of a piece that may lie in its checkpoint's row: rows are to stay well below a page."""


class SqliteDialect(Dialect):
    """A piece's row id is its namespace and its own number in one: the table is its own index.

    A checkpoint's row has such a number too, and its first new piece if it is short: most supersteps add one row.

    Attributes:
        sights: Namespaces as this connection's own commits left them; the driver forgets them when anything else has
            changed the database.
    """

    def __init__(self, sql: Mapping[str, str]) -> None:
        super().__init__(sql)
        self.sights: Sights[Known] = Sights()

    def recalled(self, one: Prepared) -> Known | None:
        known = self.sights.get((one.thread_id, one.checkpoint_ns))
        if known is None or one.parent_id != known.head or one.lease != known.lease or one.replaces:
            return None
        if one.expected_head is not ANY_HEAD and one.expected_head != known.head:
            return None
        return None if one.checkpoint_id is not None and one.checkpoint_id <= (known.head or "") else known

    def remember(self, one: Prepared, known: Known | None) -> None:
        self.sights.note((one.thread_id, one.checkpoint_ns), known)

    def storing(
        self, ns: int, one: Prepared, frame: bytes, pieces: Sequence[bytes], number: int, *, is_new: bool
    ) -> tuple[list[Statement], int]:
        piece, at = None, number
        if is_new and pieces and len(pieces[0]) <= _MOST_BESIDE:
            piece, *pieces = pieces
            number += 1
        batch = self.adding_pieces(ns, pieces, number) if pieces else []
        number += len(pieces)
        if piece is None:
            at, number = number, number + 1
        row = (ns, one.checkpoint_id, one.parent_id, one.run_id, frame, ns * _PIECES + at, piece)
        batch.append((self.sql["append_checkpoint" if is_new else "add_checkpoint"], row))
        return batch, number

    def piece_row(self, ns: int, number: int, frame: bytes) -> tuple[Any, ...]:
        return ns * _PIECES + number, frame

    def deleting_checkpoint(self, ns: int, checkpoint_id: str) -> Batch:
        return [(self.sql["keep_piece"], (ns, checkpoint_id)), *super().deleting_checkpoint(ns, checkpoint_id)]

    def deleting_piece(self, ns: int, number: int) -> Batch:
        return [*super().deleting_piece(ns, number), (self.sql["empty_piece"], (ns, number))]

    def changing_piece(self, ns: int, number: int, frame: bytes) -> Batch:
        values = (frame, ns * _PIECES + number)
        return [(self.sql["change_piece"], values), (self.sql["change_piece_beside"], values)]

    def asking_pieces(self, keys: Iterable[tuple[int, int]]) -> Statement:
        return self.sql["pieces"], ("[" + ",".join([str(ns * _PIECES + number) for ns, number in keys]) + "]",)

    def diagnosing(self) -> Op[list[Check]]:
        [[row]] = yield [(self.sql["diagnose"], ())]
        return checks(row)

    def limited(self, limit: int | None) -> int:
        return -1 if limit is None else limit

    def lease_end(self, ttl: float) -> float:
        return time() + ttl


SQL: Final = load_statements(Path(__file__).with_name("statements.sql"))
