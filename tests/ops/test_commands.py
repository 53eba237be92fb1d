"""The operations' commands: what they print, and how they exit."""

from __future__ import annotations

import json

import pytest
from tests.ops.making import history

from perdure.checkpoint.registry import open_saver
from perdure.cli import app
from perdure.ops import migrate


@pytest.fixture
def perdure(monkeypatch, tmp_path, capsys):
    """Call the command line in this process; returns the exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    with open_saver("source.db") as saver:
        history(saver)

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["perdure", *arguments])
        code = app.start()
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_migrate(perdure):
    code, out, _ = perdure("migrate", "source.db", "sqlite:///target.db", "--verify", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["differences"] == []
    assert found["compared"] == found["copied"]["checkpoints"] == 36
    code, out, _ = perdure("migrate", "source.db", "target.db", "--thread", "one")
    assert (code, out) == (0, "1 threads, 0 checkpoints, 0 items copied; 12 were there already\n")


def test_migrate_names_what_differs_and_fails(perdure):
    migrate("source.db", "target.db")
    with open_saver("target.db") as saver:
        head = saver.get_tuple({"configurable": {"thread_id": "one"}})
        saver.put_writes(head.config, [("n", 1)], "another")
    code, out, err = perdure("migrate", "source.db", "target.db", "--verify")
    assert code == 1
    assert "36 checkpoints compared, 1 differences" in out
    assert f"{head.checkpoint['id']}: pending writes" in err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("migrate", "nothing.db", "target.db"), 3, "there is no database nothing.db"),
        (("migrate", "source.db", "source.db"), 2, "the same"),
        (("migrate", "source.db", "mongodb://x"), 2, "no saver is known"),
        (("migrate", "source.db", "target.db", "--since", "soon"), 2, "--since takes a time"),
        (("migrate", "source.db", "target.db", "--filter", "user"), 2, "--filter takes KEY=JSON"),
    ],
)
def test_mistakes(perdure, arguments, code, says):
    found, _, err = perdure(*arguments)
    assert found == code
    assert says in err
