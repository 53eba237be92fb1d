"""What `stats` counts is what is stored."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from tests.ops.conftest import KINDS
from tests.ops.long import chain
from tests.ops.making import THREADS, history

from perdure.checkpoint.memory import InMemorySaver
from perdure.ops import migrate, stats


def test_every_byte_of_a_database_is_counted_once(tmp_path):
    path = tmp_path / "state.db"
    chain(path, steps=60)
    (size,) = stats(str(path)).threads
    with closing(sqlite3.connect(path)) as connection:
        ((records,),) = connection.execute("SELECT sum(length(record)) FROM perdure_checkpoints")
        ((beside,),) = connection.execute("SELECT coalesce(sum(length(piece)), 0) FROM perdure_checkpoints")
        ((pieces,),) = connection.execute("SELECT coalesce(sum(length(data)), 0) FROM perdure_pieces")
        ((writes,),) = connection.execute("SELECT coalesce(sum(length(data)), 0) FROM perdure_writes")
    assert size.stored == records + beside + pieces + writes == sum(size.days.values())
    assert size.checkpoints == 62
    assert 60_000 < size.channels["items"].latest < 65_000
    assert 30_000 < size.channels["items"].stored < 65_000  # hexadecimal text is compressed
    assert stats(str(path)).ratio > 15


@pytest.mark.parametrize("kind", ["memory", *KINDS])
def test_every_backend(place_of, kind):
    truth, where = history(InMemorySaver()), place_of(kind)
    migrate(truth, where)
    found = stats(where)
    assert {one.thread_id for one in found.threads} == set(THREADS)
    assert found.total(lambda one: one.checkpoints) == len(list(truth.list(None)))
    assert found.total(lambda one: one.unreadable) == 0
    assert found.channels().keys() == stats(truth).channels().keys()
    assert (found.ratio is None) == (kind == "memory")
    sizes = [one.stored for one in found.threads]
    assert sizes == sorted(sizes, reverse=True)


def test_the_command(tmp_path, monkeypatch, capsys):
    from perdure.cli import app

    monkeypatch.chdir(tmp_path)
    chain(tmp_path / "state.db", steps=10)
    monkeypatch.setattr("sys.argv", ["perdure", "stats", "state.db"])
    assert app.start() == 0
    out = capsys.readouterr().out
    assert "1 threads, 12 checkpoints" in out
    assert "times smaller than whole values" in out
    assert "items" in out
    monkeypatch.setattr("sys.argv", ["perdure", "stats", "state.db", "--json"])
    assert app.start() == 0
    found = json.loads(capsys.readouterr().out)
    assert found["threads"][0]["checkpoints"] == 12
    assert found["stored"] == sum(found["days"].values())
