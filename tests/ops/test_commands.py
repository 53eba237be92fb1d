"""The operations' commands: what they print, and how they exit."""

from __future__ import annotations

import base64
import json
from contextlib import closing

import apsw
import pytest
from tests.ops.making import history

from perdure.checkpoint.registry import open_saver
from perdure.cli import app
from perdure.ops import migrate


@pytest.fixture
def perdure(monkeypatch, tmp_path, capsys):
    """Call the command line in this process; returns the exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no-database.db").write_text("something else " * 100)
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
    assert (code, out) == (0, "1 threads, 0 checkpoints, 0 items copied; 12 checkpoints were there already\n")


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
        (("migrate", "no-database.db", "target.db"), 1, "not a database"),
        (("migrate", "source.db", "source.db"), 2, "the same"),
        (("migrate", "source.db", "mongodb://x"), 2, "no saver is known"),
        (("migrate", "source.db", "target.db", "--since", "soon"), 2, "--since takes a time"),
        (("migrate", "source.db", "target.db", "--metadata", "user"), 2, "--metadata takes KEY=VALUE"),
        (("backup", "nothing.db", "all.perdure"), 3, "there is no database nothing.db"),
        (("backup", "source.db", "no/all.perdure"), 1, "no/all.perdure can't be written"),
        (("restore", "nothing.perdure", "target.db"), 1, "nothing.perdure can't be read"),
        (("restore", "source.db", "target.db"), 1, "source.db is not a backup"),
        (("restore", "source.db", "target.db", "--until", "soon"), 2, "--until takes a time"),
        (("verify", "nothing.db"), 3, "there is no database nothing.db"),
    ],
)
def test_mistakes(perdure, arguments, code, says):
    found, _, err = perdure(*arguments)
    assert found == code
    assert says in err


def damage(path):
    """Damage the newest record of a thread; return its checkpoint's id."""
    with closing(apsw.Connection(path)) as connection:
        ((rowid, checkpoint_id),) = connection.execute(
            "SELECT c.rowid, checkpoint_id FROM perdure_checkpoints AS c JOIN perdure_namespaces USING (ns)"
            " WHERE thread_id = 'one' AND checkpoint_ns = '' ORDER BY checkpoint_id DESC LIMIT 1"
        )
        connection.execute(
            "UPDATE perdure_checkpoints SET record = CAST(x'0011' || record AS BLOB) WHERE rowid = ?", (rowid,)
        )
    return checkpoint_id


def test_verify(perdure):
    assert perdure("verify", "source.db")[:2] == (0, "3 threads, 0 damaged places, 0 findings\n")
    checkpoint_id = damage("source.db")
    code, out, err = perdure("verify", "source.db")
    assert code == 1
    assert f"thread 'one', checkpoint {checkpoint_id}: unreadable checkpoint: stored bytes don't fit" in out
    assert "--repair would: remove the checkpoint: 1 times" in err
    code, _, err = perdure("verify", "source.db", "--repair")
    assert code == 2
    assert "add --yes" in err
    code, out, _ = perdure("verify", "source.db", "--repair", "--yes", "--json")
    found = json.loads(out)
    assert (code, found["repaired"]) == (1, True)
    assert found["findings"][0]["checkpoint_id"] == checkpoint_id
    code, out, _ = perdure("verify", "source.db", "--json")
    assert code == 0
    assert {one["kind"] for one in json.loads(out)["findings"]} <= {"a parent that is gone"}


def test_a_missing_key_is_no_reason_to_remove_anything(perdure, monkeypatch):
    monkeypatch.setenv("PERDURE_AES_KEY", "k" * 32)
    assert perdure("migrate", "source.db", "secret.db", "--encrypted-target")[0] == 0
    assert perdure("verify", "secret.db", "--encrypted")[0] == 0
    monkeypatch.setenv("PERDURE_AES_KEY", "j" * 32)
    for options in ((), ("--encrypted",)):
        code, out, _ = perdure("verify", "secret.db", "--repair", "--yes", *options)
        assert code == 1
        assert "can't be decoded" in out
    monkeypatch.setenv("PERDURE_AES_KEY", "k" * 32)
    code, out, _ = perdure("migrate", "source.db", "secret.db", "--encrypted-target", "--verify")
    assert (code, "36 checkpoints were there already" in out, "0 differences" in out) == (0, True, True)


def test_commands_use_the_keys_of_the_environment(perdure, monkeypatch):
    old, new = (f"{name}:{base64.b64encode(name.encode() * 8).decode()}" for name in ("2025", "2026"))
    monkeypatch.setenv("PERDURE_ENCRYPTION_KEYS", old)
    assert perdure("migrate", "source.db", "secret.db", "--encrypted-target")[0] == 0
    shown = json.loads(perdure("state", "one", "--db", "secret.db", "--json")[1])
    monkeypatch.setenv("PERDURE_ENCRYPTION_KEYS", "")
    assert shown["values"] == json.loads(perdure("state", "one", "--db", "source.db", "--json")[1])["values"]
    code, _, err = perdure("state", "one", "--db", "secret.db")
    assert (code, "thread 'one'" in err, "are encrypted" in err) == (1, True, True)
    monkeypatch.setenv("PERDURE_ENCRYPTION_KEYS", f"{new},{old}")
    code, out, _ = perdure("rekey", "secret.db")
    assert (code, out.startswith("3 threads: "), ", 0 were current" in out) == (0, True, True)
    monkeypatch.setenv("PERDURE_ENCRYPTION_KEYS", new)
    assert perdure("verify", "secret.db", "--encrypted")[0] == 0
    code, out, _ = perdure("rekey", "secret.db", "--json")
    assert (code, json.loads(out)["rewritten"]) == (0, 0)


def test_backup_and_restore(perdure):
    code, out, _ = perdure("backup", "source.db", "all.perdure")
    assert (code, out.startswith("3 threads, 36 checkpoints, 0 items in all.perdure, ")) == (0, True)
    code, out, _ = perdure("backup", "source.db", "more.perdure", "--since", "all.perdure", "--json")
    assert (code, json.loads(out)["checkpoints"]) == (0, 0)
    code, out, _ = perdure("restore", "more.perdure", "target.db")
    assert (code, out) == (0, "3 threads, 36 checkpoints, 0 items restored\n")
    assert perdure("migrate", "source.db", "target.db", "--verify")[0] == 0
    code, out, _ = perdure("restore", "all.perdure", "one.db", "--thread", "one", "--json")
    assert (code, json.loads(out)) == (0, {"threads": 1, "checkpoints": 12, "items": 0, "present": 0})
    assert perdure("restore", "all.perdure", "early.db", "--until", "2020-01-01")[1].startswith("3 threads, 0 check")


def test_an_encrypted_backup(perdure, monkeypatch):
    monkeypatch.setenv("PERDURE_AES_KEY", "k" * 32)
    assert perdure("backup", "source.db", "all.perdure", "--encrypt")[0] == 0
    code, _, err = perdure("restore", "all.perdure", "target.db")
    assert (code, "is encrypted" in err, "--decrypt" in err) == (2, True, True)
    assert perdure("restore", "all.perdure", "target.db", "--decrypt")[0] == 0
    assert perdure("migrate", "source.db", "target.db", "--verify")[0] == 0
