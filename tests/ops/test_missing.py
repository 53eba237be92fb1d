"""What only looks makes nothing: a URL with a typing mistake is told, and there is nothing afterwards."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import psycopg
import pytest
from tests.ops.making import history

from perdure.checkpoint.memory import InMemorySaver
from perdure.cli import app
from perdure.errors import StorageError
from perdure.ops import backup, doctor, migrate, probe, repair, restore, shelve, stats, verify

LOOKING = {
    "doctor": doctor,
    "stats": stats,
    "verify": verify,
    "repair": repair,
    "probe": probe,
    "backup": lambda url: backup(url, "x.perdure"),
    "shelve": lambda url: shelve(url, "shelf/"),
    "migrate": lambda url: migrate(url, InMemorySaver()),
}


@pytest.mark.parametrize("look", LOOKING.values(), ids=LOOKING)
def test_nothing_is_made(look, tmp_path, database, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StorageError, match="is missing, or has nothing") as told:
        look("sqlite:///stat.db")
    assert "is the URL right?" in str(told.value)
    assert not list(tmp_path.glob("*.db*"))
    with closing(sqlite3.connect("other.db")) as connection:
        connection.execute("CREATE TABLE mine (x)")
    with pytest.raises(StorageError, match="has nothing of perdure's"):
        look("other.db")
    with closing(sqlite3.connect("other.db")) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("mine",)]
    with pytest.raises(StorageError, match="has nothing of perdure's") as told:
        look(database)
    assert psycopg.conninfo.conninfo_to_dict(database).get("password", "none") not in str(told.value)
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
    assert not list(tmp_path.glob("*.perdure")) + list(tmp_path.glob("shelf/2*"))


def test_what_writes_makes_what_it_needs(tmp_path, database):
    source = history(InMemorySaver())
    backup(source, tmp_path / "all.perdure")
    assert restore(tmp_path / "all.perdure", database).checkpoints > 0
    assert len(stats(database).threads) == 3
    migrate(database, f"sqlite:///{tmp_path}/new.db")
    assert len(stats(f"sqlite:///{tmp_path}/new.db").threads) == 3


def test_command_tells_it(database, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["perdure", "top", database, "--once"])
    assert app.start() == 1
    assert "has nothing of perdure's" in capsys.readouterr().err
