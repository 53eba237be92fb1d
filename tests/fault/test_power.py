"""Power failures: with FULL the acknowledged survives; what NORMAL loses is the newest, and supersteps are whole."""

import random
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest
from tests.fault import power
from tests.fault.disk import Created, Deleted, Disk, RecordingVFS, Said, Synced, Truncated, Written
from tests.fault.shapes import SHAPES

from perdure.checkpoint.base import empty_checkpoint
from perdure.checkpoint.sqlite import SqliteSaver

ROOT = Path(__file__).parents[2]


def lose_power(*arguments):
    """Run in a process of its own: it forks, which needs a process without threads."""
    command = [sys.executable, "-m", "tests.fault.power", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("colour", "durability"), [("sync", "sync"), ("async", "async")])
@pytest.mark.parametrize("shape", SHAPES)
def test_at_every_moment(shape, colour, durability):
    done = lose_power(shape, "--colour", colour, "--durability", durability, "--parts", "0.3")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert " 0 broken promises" in done.stdout


# -- the checks themselves: they must see what a bad disk, or a weaker promise, does


@pytest.fixture(scope="module")
def recorded():
    """Make recordings in another process: one forks for each."""
    made = {}

    def make(tmp_path, synchronous):
        if synchronous not in made:
            script = (
                "import pickle, sys; from pathlib import Path; from tests.fault.power import Way, record; "
                "print(pickle.dumps(tuple(record(Way('chain'), sys.argv[1], Path(sys.argv[2])))).hex())"
            )
            command = [sys.executable, "-c", script, synchronous, str(tmp_path / "recorded")]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            import pickle

            made[synchronous] = power.Recording(*pickle.loads(bytes.fromhex(done.stdout)))
        return made[synchronous]

    return make


def test_without_its_syncs_normal_would_break_full_s_promise(recorded, tmp_path):
    recording = recorded(tmp_path, "NORMAL")
    _, broken = power.campaign(recording._replace(synchronous="FULL"), tmp_path, 0, "0")
    assert any("checkpoint" in problem and "lost" in problem for problem in broken)
    assert any("ran again" in problem for problem in broken)


def test_a_disk_that_ignores_syncs_of_the_log_is_noticed(recorded, tmp_path):
    recording = recorded(tmp_path, "NORMAL")
    logs = {e.file for e in recording.trace if isinstance(e, Created) and e.name.endswith("-wal")}
    lying = [e for e in recording.trace if not (isinstance(e, Synced) and e.file in logs)]
    _, broken = power.campaign(recording._replace(trace=lying), tmp_path, 1, "0")
    assert broken


def test_a_gap_is_noticed(recorded, tmp_path):
    """Say that something was acknowledged first that never was there."""
    recording = recorded(tmp_path, "NORMAL")
    lying = [Said("acked never"), *recording.trace]
    _, broken = power.campaign(recording._replace(trace=lying), tmp_path, 0, "0")
    assert any("acked never is lost" in problem for problem in broken)


def test_lies_about_checkpoints_are_noticed(recorded, tmp_path):
    recording = recorded(tmp_path, "FULL")
    key, (checkpoint, *others) = next(iter(recording.checkpoints.items()))
    lie = {**recording.checkpoints, key: (checkpoint | {"ts": "later"}, *others)}
    _, broken = power.campaign(recording._replace(checkpoints=lie), tmp_path, 0, "0")
    assert any("has changed" in problem for problem in broken)


# -- the disk


def disk_after(*events):
    disk = Disk()
    for event in events:
        disk.happens(event)
    return disk


NEW = (Created("a", 1), Created("a-wal", 2), Written(1, 0, b"old"), Synced(1), Synced(2))


def test_only_synced_writes_are_left():
    disk = disk_after(*NEW, Written(1, 0, b"new"), Written(1, 3, b"er"))
    assert disk.left() == {"a": b"old", "a-wal": b""}
    assert disk_after(*NEW, Written(1, 2, b"new"), Truncated(1, 3), Synced(1)).left()["a"] == b"oln"


def test_a_deletion_may_be_undone_until_the_folder_is_synced():
    gone = (*NEW, Deleted("a", False))
    assert disk_after(*gone).left()["a"] == b"old"
    assert "a" not in disk_after(*gone, Created("b-journal", 3), Synced(3)).left()
    assert "a" not in disk_after(*NEW, Deleted("a", True)).left()
    assert disk_after(Created("a", 1), Written(1, 0, b"x"), Synced(1)).left() == {}


def test_any_part_of_the_unsynced_may_be_left_by_sectors():
    disk = disk_after(*NEW, Written(1, 0, b"1" * 700), Written(1, 0, b"2" * 700))
    chance = random.Random(0)
    seen = {disk.left(chance)["a"] for _ in range(200)}
    first = {content[:512] for content in seen}
    assert first >= {b"1" * 512, b"2" * 512, b"old"}
    assert all(part in (b"1" * 188, b"2" * 188, b"") for part in (content[512:] for content in seen))
    assert b"1" * 512 + b"2" * 188 in seen


# -- FULL commits after soft ones


@contextmanager
def on_a_disk(tmp_path, name, *synchronous):
    """Open savers on one file of a disk that can lose its power."""
    vfs = RecordingVFS(name)
    folder = tmp_path / "disk"
    folder.mkdir()
    connections = [apsw.Connection(str(folder / "a.db"), vfs=name) for _ in synchronous]
    savers = [SqliteSaver(c, synchronous=s) for c, s in zip(connections, synchronous, strict=True)]
    for saver in savers:
        saver.setup()
    yield vfs, savers
    for saver, connection in zip(savers, connections, strict=True):
        saver.close()
        connection.close()


@contextmanager
def rebooted(vfs, tmp_path):
    disk = disk_after(*vfs.trace)
    for name, data in disk.left().items():
        (tmp_path / name).write_bytes(data)
    with closing(apsw.Connection(str(tmp_path / "a.db"))) as connection:
        assert connection.execute("PRAGMA integrity_check").get == "ok"
    with SqliteSaver.from_conn_string(str(tmp_path / "a.db")) as saver:
        yield saver
    for file in tmp_path.glob("a.db*"):
        file.unlink()


def put(saver, thread, parent=None):
    checkpoint = empty_checkpoint()
    config = {"configurable": {"thread_id": thread, "checkpoint_id": parent}}
    return saver.put(config, checkpoint, {"step": 0}, {})["configurable"]["checkpoint_id"]


def test_a_full_commit_hardens_the_normal_ones_before_it(tmp_path):
    with on_a_disk(tmp_path, "hardens", "NORMAL", "FULL") as (vfs, (normal, full)):
        old = [put(normal, f"normal {n}") for n in range(3)]
        with rebooted(vfs, tmp_path) as after:
            assert list(after.threads()) == [], "nothing asked for a sync yet"
        put(full, "full")
        put(normal, "too late")
        with rebooted(vfs, tmp_path) as after:
            assert [after.get_head(f"normal {n}") for n in range(3)] == old
            assert list(after.threads()) == ["full", "normal 0", "normal 1", "normal 2"]


def test_a_lease_that_a_power_failure_takes_was_never_used(tmp_path):
    """A lease alone needs no sync; the first commit under it makes both durable."""
    with on_a_disk(tmp_path, "leases", "FULL") as (vfs, (saver,)):
        lease = saver.acquire("t", "me", 60)
        with rebooted(vfs, tmp_path) as after:
            assert after.acquire("t", "you", 60).generation == 1
        put(saver, "t")
        with rebooted(vfs, tmp_path) as after:
            assert after.acquire("t", "you", 60) is None
        saver.release(lease)
        second = saver.acquire("t", "another", 60)
        assert second.generation == 2
        with rebooted(vfs, tmp_path) as after:
            # The first holder may think it holds it still: so it does, on this disk.
            assert after.renew([second], 60) == ["lost"]
            assert after.renew([lease], 60) == ["held"]
