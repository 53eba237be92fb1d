"""Postgres' statements and their values."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from perdure.checkpoint.address import Scope
from perdure.checkpoint.diagnosis import Check
from perdure.checkpoint.postgres.diagnosing import checks
from perdure.checkpoint.postgres.searching import search_for, searched_of
from perdure.checkpoint.records import Prepared
from perdure.checkpoint.tables.dialect import Cursor, Dialect
from perdure.database.operation import Batch, Op, Replies, Rows, Statement
from perdure.database.postgres.adapting import Numbers, Texts
from perdure.database.postgres.naming import prefix_of
from perdure.database.postgres.schema import Tables
from perdure.database.sqltext import load_migrations, load_statements


@cache
def savers_tables() -> Tables:
    """Return the tables of checkpoints."""
    return Tables("perdure_migrations", load_migrations(Path(__file__).with_name("migrations")))


_NOTES = re.compile(r"^ *--.*\n", re.MULTILINE)


@cache
def dialect_of(schema: str | None) -> PostgresDialect:
    """Return the statements for tables in a schema; None: wherever the connection's search_path leads."""
    prefix = prefix_of(schema)
    texts = load_statements(Path(__file__).with_name("statements.sql"))
    return PostgresDialect({name: _NOTES.sub("", text).replace("@schema.", prefix) for name, text in texts.items()})


class PostgresDialect(Dialect):
    """A namespace's row holds its head and the next piece's number, and is what writers lock."""

    searches = True

    def searchable(self, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what of metadata the database may have in the clear."""
        if self.vault is None:
            return metadata
        return {key: value for key, value in metadata.items() if key in self.vault.searchable}

    def asking_guard(self, one: Prepared) -> list[Statement]:
        making = (self.sql["add_namespace"], (one.thread_id, one.checkpoint_ns))
        return [making, *super().asking_guard(one)]

    def storing(
        self, ns: int, one: Prepared, frame: bytes, pieces: Sequence[bytes], number: int, *, is_new: bool
    ) -> tuple[list[Statement], int]:
        row = (ns, one.checkpoint_id, one.parent_id, one.run_id, frame, one.searched)
        return [*self.adding_pieces(ns, pieces, number), (self.sql["add_checkpoint"], row)], number + len(pieces)

    def piece_row(self, ns: int, number: int, frame: bytes) -> tuple[Any, ...]:
        return ns, number, frame

    def changing_piece(self, ns: int, number: int, frame: bytes) -> Batch:
        return [(self.sql["change_piece"], (ns, number, frame))]

    def searching(self, ns: int, checkpoint_id: str, metadata: Mapping[str, Any]) -> Batch:
        return [(self.sql["change_metadata"], (ns, checkpoint_id, searched_of(self.searchable(metadata))))]

    def advancing(self, ns: int, one: Prepared, number: int) -> Batch:
        # One more: the checkpoint may replace one, and then the head alone wouldn't tell that something has changed.
        return () if one.checkpoint_id is None else [(self.sql["advance"], (ns, one.checkpoint_id, number + 1))]

    def diagnosing(self) -> Op[list[Check]]:
        [[row]] = yield [(self.sql["diagnose"], ())]
        return checks(row)

    def deleting_checkpoints(self, ns: int, checkpoint_ids: Collection[str]) -> Batch:
        names = ("delete_checkpoints", "delete_writes_of_checkpoints")
        return [(self.sql[name], (ns, Texts(checkpoint_ids))) for name in names]

    def settling(self, ns: int) -> Batch:
        return [(self.sql["settle"], (ns,))]

    def asking_checkpoint(self, thread_id: str, checkpoint_ns: str, checkpoint_id: str | None) -> Batch:
        return [(self.sql["one_checkpoint"], (thread_id, checkpoint_ns, checkpoint_id))]

    def checkpoint_and_writes(self, replies: Replies) -> tuple[Sequence[Any] | None, Rows]:
        [rows] = replies
        # A UNION ALL may give its parts in any order.
        found = [row for row in rows if row[0] is not None]
        return (found[0] if found else None), [row[1:] for row in rows if row[0] is None]

    def asking_pieces(self, keys: Iterable[tuple[int, int]]) -> Statement:
        spaces, numbers = zip(*keys, strict=True)
        if min(spaces) == max(spaces):
            return self.sql["pieces"], (spaces[0], Numbers(numbers))
        return self.sql["pieces_of_several"], (Numbers(spaces), Numbers(numbers))

    def asking_page(self, scope: Scope, cursor: Cursor, size: int, wanted: Mapping[str, Any] | None) -> Statement:
        searched = search_for(self.searchable(wanted or {}))
        if scope.thread_id is not None and scope.checkpoint_ns is not None:
            values = (scope.thread_id, scope.checkpoint_ns, scope.checkpoint_id, cursor.checkpoint_id, size, searched)
            return self.sql["page_of_namespace"], values
        rest = (scope.checkpoint_id, *cursor, size)
        if scope.thread_id is not None:
            return self.sql["page_of_thread"], (scope.thread_id, *rest, searched)
        if searched is not None:
            return self.sql["page_of_all_filtered"], (scope.checkpoint_ns, *rest, searched)
        return self.sql["page_of_all"], (scope.checkpoint_ns, *rest)
