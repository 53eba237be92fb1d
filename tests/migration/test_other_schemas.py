"""The tables of stores and caches: numbered migrations, and statements that fit them."""

import apsw
import psycopg
import pytest
import sqlite_vec

from perdure.cache import sqlite as cache
from perdure.checkpoint.postgres import dialect as postgres_schema
from perdure.checkpoint.sqlite import dialect as sqlite_schema
from perdure.store import postgres as postgres_store
from perdure.store import sqlite as sqlite_store
from perdure.store.postgres.indexing import vector_tables

SETS = {
    "store on SQLite": sqlite_store.stores_tables,
    "store on Postgres": postgres_store.stores_tables,
    "vectors on Postgres": vector_tables,
    "cache on SQLite": cache.caches_tables,
}
# What released migrations hash to: a released file must never change.
RELEASED: dict[str, dict[int, str]] = {name: {} for name in SETS}


@pytest.mark.parametrize("name", SETS)
def test_migrations_are_numbered_and_do_not_change(name):
    steps = SETS[name]().steps
    assert [step.version for step in steps] == list(range(1, len(steps) + 1))
    found = {step.version: step.checksum for step in steps}
    assert {version: found.get(version) for version in RELEASED[name]} == RELEASED[name]


def test_the_sets_keep_their_records_apart():
    records = [make().record for make in (sqlite_store.stores_tables, cache.caches_tables, sqlite_schema.savers_tables)]
    assert len(set(records)) == 3
    on_postgres = (postgres_store.stores_tables, vector_tables, postgres_schema.savers_tables)
    assert len({make().record for make in on_postgres}) == 3


@pytest.mark.parametrize(
    ("tables", "sql"), [(sqlite_store.stores_tables, sqlite_store.SQL), (cache.caches_tables, cache.SQL)]
)
def test_every_statement_fits_the_tables_of_sqlite(tables, sql):
    connection = apsw.Connection(":memory:")
    connection.enable_load_extension(True)
    connection.load_extension(sqlite_vec.loadable_path())
    for step in tables().steps:
        for statement in step.statements:
            connection.execute(statement)
    for text in sql.values():
        count = text.count("?") if "?1" not in text else max(int(n) for n in range(1, 10) if f"?{n}" in text)
        connection.execute(f"EXPLAIN {text}", [None] * count)
    connection.close()


def test_every_statement_fits_the_tables_of_postgres(database):
    with psycopg.connect(database, autocommit=True) as connection:
        for step in postgres_store.stores_tables().steps:
            for statement in step.statements:
                connection.execute(statement.replace("@schema.", ""))
        for name, text in postgres_store._sql(None).items():
            connection.execute(f'PREPARE "{name}" AS {text}')


def test_reading_by_key_and_below_a_namespace_uses_an_index(database):
    with psycopg.connect(database, autocommit=True) as connection:
        for step in postgres_store.stores_tables().steps:
            for statement in step.statements:
                connection.execute(statement.replace("@schema.", ""))
        connection.execute("SET enable_seqscan = off")
        where = "namespace >= 'a' AND namespace < 'b'"
        plan = connection.execute(f"EXPLAIN SELECT item FROM perdure_store_items WHERE {where}").fetchall()
        assert "namespace_key" in str(plan)
