"""SQLite's statements and their values."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from time import time
from typing import Final

from perdure.checkpoint.operation import Statement
from perdure.checkpoint.sqltext import load_statements
from perdure.checkpoint.tables.dialect import Dialect

_PIECES: Final = 1 << 32
"""Pieces a namespace may have; a piece's key is the namespace's number times this, plus its own number."""


class SqliteDialect(Dialect):
    """A piece's row id is its namespace and its own number in one: the table is its own index."""

    def adding_piece(self, ns: int, number: int, frame: bytes) -> Statement:
        return self.sql["add_piece"], (ns * _PIECES + number, frame)

    def asking_pieces(self, keys: Iterable[tuple[int, int]]) -> Statement:
        return self.sql["pieces"], ("[" + ",".join([str(ns * _PIECES + number) for ns, number in keys]) + "]",)

    def limited(self, limit: int | None) -> int:
        return -1 if limit is None else limit

    def lease_end(self, ttl: float) -> float:
        return time() + ttl


DIALECT: Final = SqliteDialect(load_statements(Path(__file__).with_name("statements.sql")))
