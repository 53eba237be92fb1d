"""Shelves of backups: each goes on from the newest, old ones go when nobody needs them, and no death leaves a half."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ops.making import grow, history
from tests.ops.test_migrate import assert_same, content
from tests.servers.seaweed import ENVIRONMENT

from perdure.checkpoint.conformance.case import checkpoint, place
from perdure.checkpoint.memory import InMemorySaver
from perdure.checkpoint.registry import open_saver
from perdure.database.s3.files import open_objects
from perdure.errors import ConflictError, CorruptCheckpointError, StorageError
from perdure.ops import restore, shelve, tidy
from perdure.ops.archive.shelves import Entry, chain_of, expired, open_shelf

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["folder", "bucket"])
def shelf(request, tmp_path):
    return f"{tmp_path}/shelf/" if request.param == "folder" else request.getfixturevalue("bucket")


@pytest.fixture
def source():
    return history(InMemorySaver())


def entries(where):
    with open_shelf(where) as (found, _):
        return found.entries()


def restored(where, **options):
    target = InMemorySaver()
    restore(where, target, **options)
    return target


def test_each_goes_on_from_the_newest_and_all_comes_back(source, shelf):
    made = [shelve(source, shelf, chain=3)]
    for seed in range(1, 5):
        grow(source, "one", seed, steps=4)
        made.append(shelve(source, shelf, chain=3))
    names = [str(one.path) for one in made]
    assert [one.since for one in made] == [None, names[0], names[1], None, names[3]]
    assert [one.name for one in entries(shelf)] == names
    assert_same(source, restored(shelf))
    assert made[4].copied.checkpoints == 4
    assert (
        len(content(restored(f"{shelf.partition('?')[0].rstrip('/')}/{names[2]}{query(shelf)}")))
        == len(content(source)) - 8
    )


def query(url):
    return "".join(url.partition("?")[1:])


def test_old_ones_go_when_no_newer_one_needs_them(source, shelf):
    names = []
    for seed in range(5):
        grow(source, "one", seed, steps=1)
        names.append(str(shelve(source, shelf, chain=2).path))
    assert tidy(shelf, keep_last=2) == names[:2]  # the third is needed by the fourth
    assert [one.name for one in entries(shelf)] == names[2:]
    assert tidy(shelf) == []
    assert tidy(shelf, keep=timedelta(days=1)) == []
    assert_same(source, restored(shelf))
    assert tidy(shelf, keep=timedelta(0)) == names[2:4]
    assert_same(source, restored(shelf))


def test_a_damaged_newest_one_is_not_gone_on_from(source, tmp_path):
    first = shelve(source, shelf := f"{tmp_path}/shelf/")
    path = Path(shelf) / first.path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert shelve(source, shelf).since is None
    assert_same(source, restored(shelf))
    with pytest.raises(CorruptCheckpointError):
        restored(path)


def test_encrypted_and_plain_ones_do_not_go_on_from_each_other(source, shelf, monkeypatch):
    pytest.importorskip("cryptography")
    monkeypatch.setenv("PERDURE_AES_KEY", "k" * 32)
    shelve(source, shelf)
    assert shelve(source, shelf, encrypt=True).since is None
    assert shelve(source, shelf, encrypt=True).since is not None
    assert_same(source, restored(shelf, decrypt=True))
    monkeypatch.setenv("PERDURE_AES_KEY", "l" * 32)
    assert shelve(source, shelf, encrypt=True).since is None  # with another key the others can't be read


def test_other_peoples_files_stay(source, tmp_path):
    (tmp_path / "monday.perdure").write_text("mine")
    (tmp_path / "x.perdure.1.partial").write_text("mine")
    shelve(source, f"{tmp_path}/")
    shelve(source, f"{tmp_path}/", chain=1)
    tidy(f"{tmp_path}/", keep_last=1)
    assert {"monday.perdure", "x.perdure.1.partial"} < {path.name for path in tmp_path.iterdir()}
    assert len(list(tmp_path.glob("2*.perdure"))) == 1


def test_empty_and_missing_are_told(source, shelf):
    with pytest.raises(StorageError, match="no backups in"):
        restored(shelf)
    with pytest.raises(StorageError, match="no backup nobody"):
        chain_of([], "nobody")


def test_larger_than_one_request(bucket):
    saver = InMemorySaver()
    for n in range(3):
        value = random.Random(n).randbytes(7 << 20)
        saver.put(place(f"t{n}"), checkpoint({"a": value}, {"a": 1}), {}, {"a": 1})
    assert shelve(saver, bucket).size > 20 << 20
    assert_same(saver, restored(bucket))


def test_several_at_once_all_come_to_be_there(source, bucket):
    failures = []

    def run(seed):
        own = history(InMemorySaver(), seed)
        try:
            shelve(own, bucket)
        except Exception as e:
            failures.append(e)

    shelve(source, bucket)
    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(5)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failures == []
    assert len(entries(bucket)) == 6
    for one in entries(bucket):
        chain_of(entries(bucket), one.name)


def test_one_whose_base_was_deleted_meanwhile_is_not_taken(source, bucket):
    shelve(source, bucket, chain=1)

    def delete(tally):
        if tally.threads == 1:
            shelve(source, bucket, chain=1)
            tidy(bucket, keep_last=1)

    with pytest.raises(ConflictError, match="was deleted"):
        shelve(source, bucket, on_progress=delete)
    assert len(entries(bucket)) == 1
    assert_same(source, restored(bucket))


def test_folder_takes_one_at_a_time(source, tmp_path):
    def another(tally):
        with pytest.raises(ConflictError, match="another backup is being made"):
            shelve(source, tmp_path)

    shelve(source, tmp_path, on_progress=another)
    assert len(entries(tmp_path)) == 1


KILLED = """
import os, signal, sys
from perdure.ops.archive import file
from perdure.database.s3.files import Objects
from perdure.ops import shelve, tidy

left = int(sys.argv[3])

def ticking(function):
    def call(*args, **options):
        global left
        for when in (lambda: None, lambda: function(*args, **options)):
            answer = when()
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return answer
    return call

for name in ("get", "swap", "send", "fetch", "list", "delete"):
    setattr(Objects, name, ticking(getattr(Objects, name)))
file._sync_folder = ticking(file._sync_folder)
file.ArchiveWriter.end = ticking(file.ArchiveWriter.end)
os.unlink = ticking(os.unlink)
shelve(sys.argv[1], sys.argv[2], chain=2)
tidy(sys.argv[2], keep_last=2)
print(left)
"""


def test_killed_at_any_moment_what_is_there_can_be_restored(shelf, tmp_path):
    url = f"sqlite:///{tmp_path}/state.db"
    with open_saver(url) as saver:
        grow(saver, "one", 0, steps=3)
    shelve(url, shelf, chain=2)
    stride = 1 if shelf.startswith("/") else 3  # a bucket's are many, and each takes a process
    for at in [*range(1, 60, stride), 10_000]:
        with open_saver(url) as saver:
            grow(saver, "one", at, steps=1)
        command = [sys.executable, "-c", KILLED, url, shelf, str(at)]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | ENVIRONMENT)
        assert done.returncode in {0, -signal.SIGKILL}, done.stderr
        there = entries(shelf)
        for one in there:
            chain_of(there, one.name)
        assert list(restored(shelf).threads()) == ["one"]
        if done.returncode == 0:
            break
    assert at > 3
    with open_saver(url) as saver:
        assert_same(saver, restored(shelf))


def test_scheduled_mode_survives_failures_and_stops_when_it_is_told(shelf, tmp_path):
    database = tmp_path / "state.db"
    command = [sys.executable, "-m", "perdure.cli", "backup", "state.db", shelf, "--every", "1s", "--keep-last", "1"]
    environment = {**os.environ, **ENVIRONMENT, "COLUMNS": "300", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [*command, "--chain", "1", "--json"], cwd=tmp_path, env=environment, stdout=-1, stderr=-1, text=True
    ) as process:
        try:
            assert "there is no database" in process.stderr.readline()
            with open_saver(str(database)) as saver:
                grow(saver, "one", 1, steps=2)
            told = [json.loads(read_object(process.stdout)) for _ in range(2)]
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()
    assert told[1]["deleted"] == [told[0]["file"]]
    assert len(entries(shelf)) in {1, 2}
    with open_saver(str(database)) as saver:
        assert_same(saver, restored(shelf))


def read_object(lines):
    text = ""
    while True:
        text += (line := lines.readline())
        assert line
        try:
            json.loads(text)
        except ValueError:
            continue
        return text


def test_told_to_stop_in_the_middle_it_leaves_nothing(tmp_path):
    url = f"sqlite:///{tmp_path}/state.db"
    with open_saver(url) as saver:
        for n in range(400):
            grow(saver, f"t{n}", n, steps=1)
    command = [sys.executable, "-m", "perdure.cli", "backup", "state.db", "shelf/", "--every", "1h"]
    process = subprocess.Popen(command, cwd=tmp_path)
    deadline = time.monotonic() + 20
    while not list(tmp_path.glob("shelf/*.partial")):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert [path.name for path in (tmp_path / "shelf").iterdir()] == [".lock"]


DAY = datetime(2030, 1, 1, tzinfo=UTC)


@given(
    st.lists(st.booleans(), min_size=1, max_size=30),
    st.none() | st.integers(0, 30),
    st.none() | st.integers(1, 30),
)
def test_what_is_kept_can_always_be_restored(goes_on, days, last):
    made: list[Entry] = []
    for number, on in enumerate(goes_on):
        since = made[-1].name if on and made else None
        made.append(Entry(f"{number:02}", since, DAY + timedelta(days=number), False, 1))
    now = made[-1].made
    gone = expired(made, now, None if days is None else timedelta(days=days), last)
    kept = [one for one in made if one not in gone]
    assert kept[-1] == made[-1]
    for one in kept:
        chain_of(kept, one.name)
    needed = {each.name for one in kept if must(one, made, now, days, last) for each in chain_of(made, one.name)}
    assert {one.name for one in kept} == (needed if days is not None or last is not None else {x.name for x in made})


def must(one, made, now, days, last):
    young = days is not None and one.made >= now - timedelta(days=days)
    return young or one in made[-(last or 1) :]


@pytest.mark.parametrize("name", ["../../evil.perdure", "/tmp/evil.perdure", "20260101T000000Z-0123abcd.perdure/..", 5])
@pytest.mark.parametrize("where", ["name", "since"])
def test_a_catalog_of_strangers_is_refused(bucket, tmp_path, name, where):
    entry = {"name": "20260101T000000Z-0123abcd.perdure", "since": None, "made": "2026-01-01T00:00:00+00:00"}
    told = {"format": 1, "backups": [{**entry, "is_encrypted": False, "size": 1, where: name}]}
    with open_objects(bucket) as objects:
        assert objects.swap("catalog.json", json.dumps(told).encode(), None)
    with pytest.raises(CorruptCheckpointError, match="isn't the list"):
        restore(bucket, f"sqlite:///{tmp_path}/x.db")
    assert [path.name for path in tmp_path.iterdir()] == []
