"""A full disk: the error says so, the thread stays at its last good checkpoint, and goes on when there is room."""

import os
import shutil
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import psycopg
import pytest
from tests.fault.disk import LimitedVFS
from tests.fault.full import becomes_full
from tests.fault.program import Way, run
from tests.fault.stores import NotingPostgresSaver, NotingSqliteSaver
from tests.servers.postgres import NOBODY

from perdure.pregel import turns

ROOT = Path(__file__).parents[2]


@contextmanager
def saver_on(vfs, path):
    with (
        closing(apsw.Connection(str(path), vfs="limited")) as connection,
        NotingSqliteSaver(connection, synchronous="FULL") as saver,
    ):
        saver.log = lambda line: None
        yield saver
    vfs.room = None


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    "way", [Way("chain"), Way("siblings", "async", "async"), Way("question", "sync", "exit")], ids=str
)
def test_whatever_is_written_when_it_is_full(tmp_path, monkeypatch, way):
    """All numbers of bytes between two writes are the same; of a write, nothing, one byte, or all but one may fit."""
    monkeypatch.setattr(turns, "LEASE_SECONDS", 0.05)  # a full disk can't take a lease back either: it must run out
    vfs = LimitedVFS("limited")
    with saver_on(vfs, tmp_path / "dry.db") as saver:
        run(way, saver, lambda line: None)
        sizes = [*vfs.written]
    starts = [sum(sizes[:n]) for n in range(len(sizes))]
    chosen = sorted({start + more for start, size in zip(starts, sizes, strict=True) for more in (0, size - 1)})
    broken, fits = [], 0
    for n, room in enumerate(chosen):
        with saver_on(vfs, tmp_path / f"{n}.db") as saver:
            found = becomes_full(
                way, saver, lambda room=room: setattr(vfs, "room", room), lambda: setattr(vfs, "room", None)
            )
        fits += found == ["it fits"]
        broken += [f"room for {room}: {problem}" for problem in found if problem != "it fits"]
    assert broken == []
    assert fits < len(chosen) / 3


def test_the_real_limit_of_a_file(tmp_path):
    assert " 0 broken promises" in on_a_real_disk("rlimit", tmp_path)


def can_mount():
    """Tell whether a process may have a small disk of its own, by a namespace that nobody else sees."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*SMALL_DISK, "/tmp", "true"], capture_output=True).returncode == 0


SMALL_DISK = (
    *("unshare", "--user", "--map-root-user", "--mount", "sh", "-c"),
    'mount -t tmpfs -o size=512k none "$0" && exec "$@"',
)


@pytest.mark.parametrize("kind", ["filled"] * can_mount())
def test_a_real_disk(tmp_path, kind):
    assert " 0 broken promises" in on_a_real_disk(kind, tmp_path, *SMALL_DISK, str(tmp_path))


def on_a_real_disk(kind, folder, *within):
    command = [*within, sys.executable, "-m", "tests.fault.full", kind, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


# -- Postgres, whose tables are on a small disk


def may_mount():
    """Tell whether this process may mount a disk where a server sees it; asked in a namespace that ends at once."""
    if os.getuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0


@contextmanager
def small_disk(server):
    """Mount a disk of 12 MB, with a database on it; yield the disk's folder."""
    disk = server.folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "none", str(disk)], check=True)
    try:
        os.chown(disk, NOBODY, NOBODY)
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
            connection.execute("CREATE DATABASE small TABLESPACE small")
        yield disk
    finally:
        server.stop()
        subprocess.run(["umount", str(disk)], check=True)


WAYS = [Way("chain"), Way("siblings", "async", "async"), Way("question", "sync", "exit")]


@pytest.mark.timeout(200)
@pytest.mark.parametrize("way", WAYS * may_mount(), ids=str)
def test_a_real_disk_of_postgres(own_postgres, monkeypatch, way):
    monkeypatch.setattr(turns, "LEASE_SECONDS", 0.05)  # a lease can't be taken back where there is no room for a row
    broken, times = [], 0
    with small_disk(own_postgres) as disk:
        for pages in range(0, 200, 2):
            found = becomes_full_with(own_postgres.url("small"), disk, way, pages)
            if found == ["it fits"]:
                break
            times += 1
            broken += [f"with {pages} pages of room: {problem}" for problem in found]
    assert broken == []
    assert 3 <= times < 100


def becomes_full_with(url, disk, way, pages):
    """Run where there is room for so many pages, in tables of its own."""
    schema, ballast = f"s{pages}", disk / "ballast"

    def limit():
        free = os.statvfs(disk)
        ballast.write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - pages * 8192)))

    with NotingPostgresSaver.from_conn_string(url, schema=schema) as saver:
        saver.log = lambda line: None
        saver.setup()
        found = becomes_full(way, saver, limit, lambda: ballast.unlink(missing_ok=True))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA {schema} CASCADE")
        connection.execute("CHECKPOINT")  # gives the space back
    return found
