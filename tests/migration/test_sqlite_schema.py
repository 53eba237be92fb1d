"""The tables are the sum of all migrations, and a database of any earlier version can be used."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import apsw

from perdure.checkpoint.conformance.case import checkpoint, place
from perdure.checkpoint.sqlite import SqliteSaver
from perdure.checkpoint.sqlite.dialect import SQL, savers_tables
from perdure.database.sqlite import schema

# What released migrations hash to: a released file must never change.
RELEASED: dict[int, str] = {}


def tables(connection: Any) -> set[tuple[str, str]]:
    rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE name LIKE 'perdure_%'")
    return {(name, re.sub(r"\s+", " ", sql)) for name, sql in rows}


def test_migrations_are_numbered_without_gaps() -> None:
    assert [m.version for m in savers_tables().steps] == list(range(1, len(savers_tables().steps) + 1))


def test_released_migrations_do_not_change() -> None:
    found = {m.version: m.checksum for m in savers_tables().steps}
    assert {v: found.get(v) for v in RELEASED} == RELEASED


def test_setup_applies_all_migrations(tmp_path: Path) -> None:
    by_hand = apsw.Connection(":memory:")
    by_hand.execute(savers_tables().sql(schema._TABLE))
    for migration in savers_tables().steps:
        for statement in migration.statements:
            by_hand.execute(statement)
    with SqliteSaver.from_conn_string(str(tmp_path / "x.db")) as saver:
        saver.setup()
        assert tables(saver._connection) == tables(by_hand)
    by_hand.close()


def test_every_statement_fits_the_tables() -> None:
    with SqliteSaver.from_conn_string(":memory:") as saver:
        saver.setup()
        for name, sql in SQL.items():
            numbered = {int(n) for n in re.findall(r"\?(\d)", sql)}
            count = max(numbered) if numbered else sql.count("?")
            saver._connection.execute(f"EXPLAIN {sql}", (None,) * count)
            assert "perdure_" in sql, name


def test_an_applications_own_tables_are_left_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "app.db")
    app = apsw.Connection(path)
    app.execute("CREATE TABLE checkpoints (mine TEXT); INSERT INTO checkpoints VALUES ('precious')")
    with SqliteSaver.from_conn_string(path) as saver:
        saver.put(place(), checkpoint({"x": 1}), {}, {"x": 1})
        saver.delete_thread("t")
    assert app.execute("SELECT * FROM checkpoints").fetchall() == [("precious",)]
    app.close()
