"""Two versions of perdure on one database: what each does with migrations that only the newer one knows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from langgraph_sdk import get_sync_client
from tests.server.serving import Served

import perdure
from perdure.database.migrating import POST, outstanding
from perdure.database.sqltext import Migration
from perdure.errors import SchemaVersionError, StorageError

PACKAGE = Path(perdure.__file__).parent
EARLIER = {"tables", "queues", "traces", "told", "checkpoints", "embeddings"}
"""Names of the time before migrations said when they may be done."""
ADDS = re.compile(
    r"CREATE (TABLE|INDEX) .*"
    r"|ALTER TABLE \S+ ADD COLUMN (?!.*NOT NULL(?!.*DEFAULT)).*",
    re.DOTALL,
)


def step(version: int, name: str) -> Migration:
    return Migration(version, name, str(version), [])


def rows(*steps: Migration) -> list[tuple[int, str, str]]:
    return [(each.version, each.name, each.checksum) for each in steps]


FIRST, PRE, POST_2, PRE_3 = step(1, "tables"), step(2, "pre_more"), step(3, "post_less"), step(4, "pre_again")


def test_what_waits_and_what_is_refused(monkeypatch):
    new = [FIRST, PRE, POST_2]
    assert outstanding((), "d", new) == new  # nothing older can be there
    assert outstanding(rows(FIRST), "d", new) == [PRE]
    assert outstanding(rows(FIRST, PRE), "d", new) == []
    assert outstanding(rows(FIRST, PRE), "d", [*new, PRE_3]) == [POST_2, PRE_3]
    assert outstanding(rows(FIRST, PRE), "d", [FIRST]) == []
    with pytest.raises(SchemaVersionError, match="version 3 of the tables"):
        outstanding(rows(*new), "d", [FIRST])
    with pytest.raises(StorageError, match="is not the one"):
        outstanding([(1, "tables", "x")], "d", new)
    monkeypatch.setenv(POST, "1")
    assert outstanding(rows(FIRST), "d", new) == [PRE, POST_2]


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*migrations/*.sql")), ids=lambda file: str(file.name))
def test_migrations_say_when_they_may_be_done_and_early_ones_only_add(file):
    name = file.stem.partition("_")[2]
    assert name in EARLIER or name.startswith(("pre_", "post_"))
    if name.startswith("pre_"):
        text = re.sub(r"--.*", "", file.read_text())
        for statement in filter(None, map(str.strip, text.split(";\n"))):
            assert ADDS.fullmatch(statement), statement


def newer(folder: Path) -> dict[str, str]:
    """Make a newer version of perdure: this one, with two migrations more; return how a process gets it."""
    copy = shutil.copytree(PACKAGE, folder / "newer" / "perdure", ignore=shutil.ignore_patterns("__pycache__"))
    migrations = copy / "server" / "database" / "postgres" / "migrations"
    table = "@schema.perdure_server_runs"
    (migrations / "0098_pre_note.sql").write_text(f"ALTER TABLE {table} ADD COLUMN note text NOT NULL DEFAULT '';\n")
    (migrations / "0099_post_note.sql").write_text(f"ALTER TABLE {table} ALTER COLUMN note DROP DEFAULT;\n")
    return {"PYTHONPATH": str(copy.parent)}


def setup(folder: Path, database: str, environment: dict[str, str], *switches: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "perdure.cli", "setup", "--config", "perdure.json", "--db", database, *switches]
    told = {**os.environ, **environment}
    return subprocess.run(command, cwd=folder, env=told, capture_output=True, text=True, timeout=60)


@pytest.mark.slow
def test_older_server_serves_on_and_starts_again_between_pre_and_post(database, tmp_path):
    import psycopg

    environment = newer(tmp_path)

    def works(server: Served) -> None:
        with get_sync_client(url=server.url) as client:
            assert client.runs.wait(None, "line", input={"items": []})["items"] == ["first", "second"]

    with Served(tmp_path / "older", database) as older:
        works(older)
        done = setup(older.folder, database, environment)
        assert done.returncode == 0, done.stderr
        with psycopg.connect(database) as connection:
            columns = "SELECT column_default FROM information_schema.columns WHERE column_name = 'note'"
            assert connection.execute(columns).fetchall() == [("''::text",)]
        works(older)
        older.kill()
        older.start()  # a pod that is moved in the middle of a rollout
        with Served(tmp_path / "both", database, environment=environment) as both:
            with get_sync_client(url=older.url) as client:
                thread = client.threads.create()["thread_id"]
                client.runs.wait(thread, "line", input={"items": []})
            with get_sync_client(url=both.url) as client:
                assert client.runs.wait(thread, "line", input={"items": []})["items"] == ["first", "second"] * 2
            works(older)
        older.stop()
    done = setup(older.folder, database, environment, "--post")
    assert done.returncode == 0, done.stderr
    done = setup(older.folder, database, {})
    assert (done.returncode, "version 99 of the tables" in done.stderr) == (1, True)
