"""Erasure: afterwards no byte of what was there is in any file, and where one is it is found."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import apsw
import psycopg
import pytest
from tests.ops.making import grow
from tests.servers.postgres import Server
from tests.servers.seaweed import Seaweed
from tests.servers.valkey import Valkey

from perdure.checkpoint.base import BaseCheckpointSaver
from perdure.checkpoint.conformance.case import checkpoint, place
from perdure.checkpoint.memory import InMemorySaver
from perdure.checkpoint.registry import open_saver
from perdure.checkpoint.scrubbing import Chunk
from perdure.cli import app
from perdure.database.s3.opening import open_bucket
from perdure.database.s3.versions import Bucket
from perdure.errors import ThreadHeldError, UsageError
from perdure.ops import Selection, erase, searching, verify
from perdure.ops.fingerprints import Fingerprints
from perdure.ops.opening import opened
from perdure.types import Interrupt

SHORT, LONG, META, NAME, WRITE, ASKED, ITEM, RUN = (
    f"{kind} of Ada Lovelace" for kind in ("short", "long", "meta", "name", "write", "asked", "item", "run")
)
MARKERS = (SHORT, LONG, META, NAME, WRITE, ASKED, ITEM, RUN)


def fill(url):
    """Store markers everywhere where there is a place for one; return all that is stored of the person's threads."""
    with opened(url, recognise=False, is_new=True) as database:
        saver, store = database.saver, database.store
        grow(saver, "other", 1, steps=6)
        threads = (f"thread {NAME}", "plain")
        for thread in threads:
            config = place(thread, "" if thread == "plain" else f"ns:{NAME}")
            for n in range(5):
                values = {"short": SHORT, "long": [f"{LONG} {n} " * 40, os.urandom(300).hex()], "n": n}
                made = checkpoint(
                    values, dict.fromkeys(values, n + 1), after=config["configurable"].get("checkpoint_id")
                )
                about = {"user": "ada", "about": META, "run_id": RUN, "n": n}
                config = saver.put(config, made, about, dict(made["channel_versions"]))
                saver.put_writes(config, [("short", f"{WRITE} {n}"), ("long", f"{WRITE} " * 200)], f"task {n}")
                saver.put_writes(config, [("__interrupt__", [Interrupt({"question": ASKED}, id="i" * 32)])], f"ask {n}")
        saver.keep("plain", ttl=timedelta(days=9))
        if store is not None:
            store.put(("users", "ada"), ITEM, {"note": ITEM, "long": f"{ITEM} " * 100})
            store.put(("users", "ada", "deeper"), "k", {"note": ITEM})
            store.put(("users", "gone"), "k", {"note": ITEM}, ttl=0.0001) if store.supports_ttl else None
            store.put(("users", "bob"), "k", {"note": "bob's"})
        return [piece for thread in threads for piece in saver.stored_of(thread)]


def files_of(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def left_in(files, stored):
    """Search files by brute force: for markers, and for each whole stored piece."""
    found = {(str(path), marker) for path, data in files.items() for marker in MARKERS if marker.encode() in data}
    long = [piece for piece in stored if len(piece) > 20]
    return found | {(str(path), piece) for path, data in files.items() for piece in long if piece in data}


def erase_ada(url, **options):
    namespaces = [("users", "ada"), ("users", "gone")] if not url.startswith(("redis", "s3")) else []
    return erase(url, selection=Selection(metadata={"user": "ada"}), namespaces=namespaces, prove=MARKERS, **options)


def check_rest(url):
    with opened(url, recognise=False, is_new=True) as database:
        assert list(database.saver.threads()) == ["other"]
        assert list(database.saver.rules()) == []
        if database.store is not None:
            assert [item.value for item in database.store.search(("users",))] == [{"note": "bob's"}]
    assert verify(url).findings == []


def test_sqlite_forgets(tmp_path):
    url = f"sqlite:///{tmp_path}/x.db"
    stored = fill(url)
    assert len(left_in(files_of(tmp_path), stored)) > len(stored) / 2
    with open_saver(url) as reader:
        assert reader.get_head("other")  # a connection that is open, and reads nothing now
        done = erase_ada(url)
    assert done.is_proven, (done.scrub, done.search)
    assert (len(done.threads), done.checkpoints) == (2, 10)
    assert done.items == 2
    assert done.fingerprints > 50
    assert left_in(files_of(tmp_path), stored) == set()
    assert done.search.bytes >= sum(map(len, files_of(tmp_path).values())) > 0
    check_rest(url)


def test_a_reader_of_an_old_state_is_told_of(tmp_path):
    url = f"sqlite:///{tmp_path}/x.db"
    stored = fill(url)
    reader = apsw.Connection(f"{tmp_path}/x.db")
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM perdure_checkpoints").fetchall()
    done = erase_ada(url, timeout=0.2)
    assert not done.is_proven
    assert "reads an older state" in done.scrub.failed[0]
    assert done.search.found
    assert left_in(files_of(tmp_path), stored)
    reader.execute("COMMIT")
    reader.close()
    again = erase(url, selection=Selection([*done.threads]), prove=MARKERS)
    assert again.is_proven
    assert left_in(files_of(tmp_path), stored) == set()


@pytest.fixture(scope="module")
def own_postgres():
    with Server({"fsync": "off", "min_wal_size": "64MB", "max_wal_size": "128MB"}) as server:
        yield server


def test_postgres_forgets(own_postgres):
    url = own_postgres.url()
    stored = fill(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ANALYZE")
        connection.execute("CHECKPOINT")
        for _ in range(3):  # segments that are used again, with what they had
            fill(url)
            connection.execute("SELECT pg_switch_wal()")
            connection.execute("CHECKPOINT")
        stored += [piece for t in (f"thread {NAME}", "plain") for piece in stored_of(url, t)]
        [[before]] = connection.execute("SHOW data_directory").fetchall()
    some = random.sample(stored, 10)
    assert left_in(files_of(before), some)
    done = erase_ada(url)
    assert done.is_proven, (done.scrub, done.search)
    assert left_in(files_of(before), some) == set()
    check_rest(url)


def stored_of(url, thread):
    with open_saver(url) as saver:
        return saver.stored_of(thread)


def test_postgres_without_rights_says_what_is_left(own_postgres):
    with psycopg.connect(own_postgres.url(), autocommit=True) as connection:
        connection.execute("CREATE ROLE small LOGIN PASSWORD 'small'")
        connection.execute("CREATE DATABASE small OWNER small")
    url = own_postgres.url("small", user="small", password="small")
    fill(url)
    older = psycopg.connect(url)
    older.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    older.execute("SELECT count(*) FROM perdure_checkpoints").fetchall()
    done = erase_ada(url, timeout=0.3)
    older.close()
    assert not done.is_proven
    failed = " ".join(done.scrub.failed)
    assert "may still see what was deleted" in failed
    assert "pg_wal" in failed
    assert "statistics" in failed
    assert "superuser" in " ".join(done.search.unread.values())
    check_rest(url)


def test_redis_forgets():
    with Valkey(appendonly="yes") as server:
        stored = fill(server.url)
        done = erase_ada(server.url)
        assert done.is_proven, (done.scrub, done.search)
        assert len(done.scrub.done) == 2
        assert left_in(files_of(server.folder), stored) == set()
        check_rest(server.url)


def test_an_object_store_forgets(bucket):
    fill(bucket)
    done = erase_ada(bucket)
    assert done.is_proven, (done.scrub, done.search)
    assert done.fingerprints > 20
    check_rest(bucket)


def test_an_object_store_that_keeps_versions_forgets(aws):
    with Seaweed() as server:
        url = server.url()
        bucket = Bucket(open_bucket(url))
        bucket._client.put_bucket_versioning(Bucket=bucket._bucket, VersioningConfiguration={"Status": "Enabled"})
        fill(url)
        done = erase_ada(url)
        assert done.is_proven, (done.scrub, done.search)
        old = [line for line in done.scrub.done if "old versions" in line]
        assert int(old[0].split()[0]) > 10
        assert [name for name in done.search.files if "version" in name]  # of what is there
        check_rest(url)


def test_old_versions_that_cannot_be_asked_for_are_told_of(bucket, monkeypatch):
    with open_saver(bucket) as saver:
        saver.put(place("ada"), checkpoint({"x": 1}), {}, {"x": 1})
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):  # from here on
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        done = erase(saver, selection=Selection(["ada"]))
    assert not done.is_proven
    assert "old versions can't be listed" in done.scrub.failed[0]
    assert [*done.search.unread] == ["old versions of objects"]


def test_a_copy_under_another_name_is_found(tmp_path):
    url = f"sqlite:///{tmp_path}/x.db"
    with open_saver(url) as saver:
        saver.put(place("ada"), checkpoint({"x": f"{LONG} " * 50}), {}, {"x": 1})
        saver.copy_thread("ada", "copy")
    done = erase(url, selection=Selection(["ada"]), prove=[LONG])
    assert not done.is_proven
    assert "thread 'copy', decoded" in {trace.place for trace in done.search.found}
    assert done.search.shared > 0


def test_a_held_thread_stops_an_erasure_before_it_begins(tmp_path):
    url = f"sqlite:///{tmp_path}/x.db"
    fill(url)
    with open_saver(url) as saver:
        saver.keep("plain", hold="case 12")
    with pytest.raises(ThreadHeldError, match="case 12"):
        erase(url, selection=Selection([f"thread {NAME}", "plain"]))
    with open_saver(url) as saver:
        assert len(list(saver.threads())) == 3


def test_what_is_too_wide_is_refused(tmp_path):
    url = f"sqlite:///{tmp_path}/x.db"
    fill(url)
    for options in (
        {"selection": Selection(["other"]), "namespaces": [()]},
        {},
        {"selection": Selection()},
        {"namespaces": [()]},
        {"selection": Selection(["other"]), "prove": ["Ada"]},
    ):
        with pytest.raises(UsageError):
            erase(url, **options)
    with open_saver(url) as saver:
        assert len(list(saver.threads())) == 3


def test_a_damaged_thread_can_be_erased(tmp_path):
    url = f"sqlite:///{tmp_path}/x.db"
    fill(url)
    database = apsw.Connection(f"{tmp_path}/x.db")
    database.execute("UPDATE perdure_checkpoints SET record = x'00'")
    database.close()
    done = erase(url, selection=Selection(["plain"]))
    assert (done.is_proven, done.checkpoints) == (True, 5)


def test_a_saver_that_cannot_forget_is_refused_before_anything_is_deleted():
    class Classic(InMemorySaver):
        scrub = BaseCheckpointSaver.scrub

    saver = Classic()
    grow(saver, "one", 1, steps=2)
    with pytest.raises(UsageError, match="can't be made to forget"):
        erase(saver, selection=Selection(["one"]))
    assert list(saver.threads()) == ["one"]
    with pytest.raises(UsageError, match="no store"):
        erase(InMemorySaver(), namespaces=[("a",)])


def test_nothing_but_the_core_is_needed_on_sqlite(tmp_path):
    fill(f"sqlite:///{tmp_path}/x.db")
    program = f"""
import sys
for name in ("msgspec", "starlette", "psycopg", "redis", "obstore"):
    sys.modules[name] = None
from perdure.ops import Selection, erase
assert erase({str(tmp_path / "x.db")!r}, selection=Selection(["plain"])).is_proven
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_traces_are_found_wherever_they_are(monkeypatch):
    class Left:
        def raw(self):
            yield Chunk("a", 0, b"x" * 100 + LONG.encode()[:9])
            yield Chunk("a", 109, LONG.encode()[9:] + b"x" * 10)
            yield Chunk("b", 0, bytes(range(256)) * 3 + piece + b"end")
            yield Chunk("c", 0, b"", "no right")

        def threads(self):
            return iter(())

    piece = os.urandom(200)
    prints, done = Fingerprints(), searching.Search()
    prints.add([piece, b"short"])
    assert prints.count == 1
    searching.search_files(Left(), prints, [LONG], done)
    assert (LONG, "a", 100) in done.found
    assert {trace.place for trace in done.found} == {"a", "b"}
    assert done.unread == {"c": "no right"}


def test_short_pieces_without_an_anchor_are_found_too():
    prints = Fingerprints()
    prints.add([bytes([8, 16, 24] * 5)])
    assert prints.found_in(b"\x00" * 50 + bytes([8, 16, 24] * 5))
    assert not prints.found_in(b"\x00" * 50)


def test_the_command(tmp_path, monkeypatch, capsys):
    db = f"{tmp_path}/x.db"
    fill(f"sqlite:///{db}")

    def call(*words):
        monkeypatch.setattr("sys.argv", ["perdure", "erase", db, *words])
        return app.start(), capsys.readouterr()

    assert call("--thread", "plain")[0] == 2
    assert call("--yes")[0] == 2
    assert call("--metadata", "user=eve", "--yes")[0] == 3
    code, printed = call(
        "--metadata",
        "user=ada",
        "--namespace",
        "users/ada",
        "--namespace",
        "users/gone",
        *(word for marker in MARKERS for word in ("--prove", marker)),
        "--yes",
        "--json",
    )
    told = json.loads(printed.out)
    assert (code, told["proven"], told["checkpoints"], told["items"], told["found"]) == (0, True, 10, 2, [])
    assert told["bytes"] > 0
    code, printed = call("--thread", "other", "--yes", "--prove", "bob's")
    assert code == 1
    assert "left: bob's in" in printed.out
