"""What `doctor` says of real servers, as they are set up here."""

from __future__ import annotations

import json

import psycopg
import pytest
from tests.ops.conftest import KINDS

from perdure.checkpoint import diagnosis
from perdure.checkpoint.registry import open_saver
from perdure.checkpoint.sqlite.diagnosing import checks as sqlite_checks
from perdure.cli import app
from perdure.ops import Verdict, doctor


def bad(found):
    return {one.name for one in found if one.verdict is Verdict.BAD}


EXPECTED = {
    "memory": {"leases"},
    "sqlite": {"SQLite", "journal", "synchronous", "schema version", "size"},
    "postgres": {"Postgres", "synchronous_commit", "fsync", "rights", "standby", "clock difference", "schema version"},
    "redis": {"server", "append-only file", "memory", "clock difference"},
    "s3": set(),
}


@pytest.mark.parametrize("kind", ["memory", *KINDS])
async def test_every_backend(place_of, kind):
    where = place_of(kind)
    if kind != "memory":
        with open_saver(where) as saver:
            list(saver.threads())
    found = doctor(where)
    assert {"perdure", "a question", *EXPECTED[kind]} <= {one.name for one in found}
    # The tests' Valkey keeps nothing, and their Postgres is let off its disk's pace.
    assert bad(found) <= {"append-only file", "fsync", "synchronous_commit", "full_page_writes"}
    assert ("append-only file" in bad(found)) == (kind == "redis")
    if kind != "memory":
        with open_saver(where) as saver:
            assert [one.name for one in await saver.adiagnose()] == [one.name for one in saver.diagnose()]


def test_postgres_that_may_lose_commits_or_lacks_rights(database):
    with open_saver(database) as saver:
        saver.setup()
    with psycopg.connect(database, autocommit=True) as connection:
        name = connection.execute("SELECT current_database()").fetchone()[0]
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
        connection.execute("CREATE ROLE reader_of_tests LOGIN PASSWORD 'x'")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader_of_tests")
    try:
        user, _, rest = database.partition("://")[2].partition("@")
        url = f"postgresql://reader_of_tests:x@{rest}"
        assert {"synchronous_commit", "rights"} <= bad(doctor(url)), user
        assert "rights" not in bad(doctor(database))
    finally:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("DROP OWNED BY reader_of_tests")
            connection.execute("DROP ROLE reader_of_tests")


def test_what_is_bad_or_worth_a_note():
    assert bad(sqlite_checks(("3.40.1", "delete", 2, 1, 100, 0))) == {"SQLite", "journal"}
    notes = [one for one in sqlite_checks(("3.54.0", "wal", 1, 1, 100, 90)) if one.verdict is Verdict.NOTE]
    assert [one.name for one in notes] == ["synchronous", "size"]
    assert diagnosis.check_clock(0, "run NTP").verdict is Verdict.NOTE


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with open_saver("state.db") as saver:
        saver.setup()
    monkeypatch.setattr("sys.argv", ["perdure", "doctor", "state.db"])
    assert app.start() == 0
    assert "SQLite" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["perdure", "doctor", "state.db", "--json"])
    assert app.start() == 0
    assert {one["verdict"] for one in json.loads(capsys.readouterr().out)} == {"ok"}
    monkeypatch.setattr(
        "perdure.cli.doctor.examine", lambda url: [diagnosis.judge("x", "y", is_well=False, advice="z")]
    )
    assert app.start() == 1
