"""SQLite's statements and their values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from time import time
from typing import Final

from perdure.checkpoint.base import ANY_HEAD
from perdure.checkpoint.operation import Statement
from perdure.checkpoint.records import Prepared
from perdure.checkpoint.sqltext import load_statements
from perdure.checkpoint.tables.dialect import Dialect
from perdure.checkpoint.tables.sights import Known, Sights

_PIECES: Final = 1 << 32
"""Pieces a namespace may have; a piece's key is the namespace's number times this, plus its own number."""


class SqliteDialect(Dialect):
    """A piece's row id is its namespace and its own number in one: the table is its own index.

    Attributes:
        sights: Namespaces as this connection's own commits left them; the driver forgets them when anything else has
            changed the database.
    """

    def __init__(self, sql: Mapping[str, str]) -> None:
        super().__init__(sql)
        self.sights = Sights()

    def recalled(self, one: Prepared) -> Known | None:
        known = self.sights.get((one.thread_id, one.checkpoint_ns))
        if known is None or one.parent_id != known.head or one.lease != known.lease or one.replaces:
            return None
        if one.expected_head is not ANY_HEAD and one.expected_head != known.head:
            return None
        return None if one.checkpoint_id is not None and one.checkpoint_id <= (known.head or "") else known

    def remember(self, one: Prepared, known: Known | None) -> None:
        key = (one.thread_id, one.checkpoint_ns)
        if known is None:
            self.sights.forget(key)
        else:
            self.sights.note(key, known)

    def adding_piece(self, ns: int, number: int, frame: bytes) -> Statement:
        return self.sql["add_piece"], (ns * _PIECES + number, frame)

    def asking_pieces(self, keys: Iterable[tuple[int, int]]) -> Statement:
        return self.sql["pieces"], ("[" + ",".join([str(ns * _PIECES + number) for ns, number in keys]) + "]",)

    def limited(self, limit: int | None) -> int:
        return -1 if limit is None else limit

    def lease_end(self, ttl: float) -> float:
        return time() + ttl


SQL: Final = load_statements(Path(__file__).with_name("statements.sql"))
