"""The tables are the sum of all migrations, and every statement fits them."""

from __future__ import annotations

from typing import Any

import psycopg

from perdure.checkpoint.conformance.case import checkpoint, place
from perdure.checkpoint.postgres import PostgresSaver
from perdure.checkpoint.postgres.dialect import dialect_of, savers_tables
from perdure.database.postgres import schema

# What released migrations hash to: a released file must never change.
RELEASED: dict[int, str] = {}


def described(connection: Any, of_schema: str) -> set[tuple[Any, ...]]:
    columns = connection.execute(
        "SELECT table_name, column_name, data_type, collation_name, is_nullable, is_identity, ordinal_position::int "
        "FROM information_schema.columns WHERE table_schema = %s",
        (of_schema,),
    )
    indexes = connection.execute(
        "SELECT tablename, replace(indexdef, schemaname || '.', '') FROM pg_indexes WHERE schemaname = %s", (of_schema,)
    )
    return {*columns, *indexes}


def test_migrations_are_numbered_without_gaps() -> None:
    assert [m.version for m in savers_tables().steps] == list(range(1, len(savers_tables().steps) + 1))


def test_released_migrations_do_not_change() -> None:
    found = {m.version: m.checksum for m in savers_tables().steps}
    assert {v: found.get(v) for v in RELEASED} == RELEASED


def test_setup_applies_all_migrations(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA by_hand")
        connection.execute(schema._TABLE.format(prefix="by_hand.", record="perdure_migrations"))
        for migration in savers_tables().steps:
            for statement in migration.statements:
                connection.execute(statement.replace("@schema.", "by_hand.").replace("@hashed", ""))
        with PostgresSaver.from_conn_string(database, schema="by_setup") as saver:
            saver.setup()
        assert described(connection, "by_setup") == described(connection, "by_hand")
        assert len(described(connection, "by_setup")) > 20


def test_every_statement_fits_the_tables(database: str) -> None:
    with PostgresSaver.from_conn_string(database, schema="s") as saver:
        saver.setup()
    with psycopg.connect(database, autocommit=True) as connection:
        for name, sql in dialect_of("s").sql.items():
            connection.execute(f"PREPARE {name} AS {sql}")
            assert '"s".perdure_' in sql, name
            assert "@" not in sql.replace("@>", ""), name


def test_an_applications_own_tables_are_left_alone(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as app:
        app.execute("CREATE TABLE checkpoints (mine text)")
        app.execute("INSERT INTO checkpoints VALUES ('precious')")
        with PostgresSaver.from_conn_string(database) as saver:
            saver.put(place(), checkpoint({"x": 1}), {}, {"x": 1})
            saver.delete_thread("t")
        assert app.execute("SELECT * FROM checkpoints").fetchall() == [("precious",)]


def test_tables_of_other_schemas_are_not_seen(database: str) -> None:
    with (
        PostgresSaver.from_conn_string(database, schema="a") as one,
        PostgresSaver.from_conn_string(database, schema="b") as other,
    ):
        one.put(place(), checkpoint({"x": 1}), {}, {"x": 1})
        assert list(other.threads()) == []
        other.delete_thread("t")
        assert list(one.threads()) == ["t"]
