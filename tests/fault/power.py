"""Loses the power at every moment of a run; tells what broke.

    python -m tests.fault.power                              all shapes, colours and durabilities, FULL and NORMAL
    python -m tests.fault.power chain --parts 20 --seed 7    one shape, 20 random parts of the unsynced for each cut

A run is recorded in a process of its own, which is dead afterwards, as its leases tell. Then, for each moment, a
database is made of what was synced until then, or of that and a random part of the rest, and another run goes on with
it to the end.

What must hold: with `FULL`, all that was acknowledged is there. With `NORMAL`, what is there is a beginning of what
was acknowledged. With both, each checkpoint is as it was or not there at all, the database is sound, and the run can
be resumed.
"""

from __future__ import annotations

import argparse
import pickle
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import apsw
from tests.fault import promises
from tests.fault.disk import Deleted, Disk, Event, Files, RecordingVFS, Synced
from tests.fault.program import COLOURS, DURABILITIES, Way, in_a_child, run
from tests.fault.shapes import CONFIG, SHAPES
from tests.fault.stores import NotingSqliteSaver, store_of

from perdure.checkpoint.sqlite import SqliteSaver

SYNCHRONOUS = ("FULL", "NORMAL")
NAME = "power.db"
_FOLD_AT = 8  # pages in the log at which it is folded into the database: a short run shall do that too

Checkpoints = dict[tuple[str, str], Any]


class Recording(NamedTuple):
    """A run: what happened to the disk, and all checkpoints that it made."""

    way: Way
    synchronous: str
    trace: list[Event]
    checkpoints: Checkpoints


class Cut(NamedTuple):
    """A moment at which the power fails."""

    moment: str
    files: Files
    said: list[str]


def record(way: Way, synchronous: str, folder: Path) -> Recording:
    """Run a shape to its end, in a process that is dead afterwards."""
    folder.mkdir()
    found = folder / "recording"

    def record_it() -> None:
        vfs = RecordingVFS("recording")
        with (
            closing(apsw.Connection(str(folder / NAME), vfs="recording")) as connection,
            NotingSqliteSaver(connection, synchronous=synchronous) as saver,
        ):
            saver.log = vfs.say
            saver.setup()
            connection.execute(f"PRAGMA wal_autocheckpoint = {_FOLD_AT}")
            run(way, saver, vfs.say)
            checkpoints = stored(saver)
        found.write_bytes(pickle.dumps((vfs.trace, checkpoints)))

    assert in_a_child(record_it) == 0
    return Recording(way, synchronous, *pickle.loads(found.read_bytes()))


def stored(saver: Any) -> Checkpoints:
    return {
        promises.id_of(entry): (entry.checkpoint, entry.metadata, entry.parent_config) for entry in saver.list(CONFIG)
    }


def cuts(trace: list[Event]) -> Iterator[Cut]:
    """Lose all that isn't synced.

    What is left changes only with a sync or a deletion. Between two of these the last moment is the hardest, when most
    was acknowledged: it stands for the others.
    """
    disk = Disk()
    for number, event in enumerate(trace):
        if isinstance(event, (Synced, Deleted)):
            yield Cut(f"before {number} of {len(trace)}", disk.left(), disk.said)
        disk.happens(event)
    yield Cut("at the end", disk.left(), disk.said)


def partial_cuts(trace: list[Event], parts: float, seed: str) -> Iterator[Cut]:
    """Keep a random part of what isn't synced, so many times a moment (or at one of so many)."""
    chance = random.Random(seed)
    disk = Disk()
    for number, event in enumerate(trace):
        disk.happens(event)
        for part in range(int(parts) + (chance.random() < parts % 1)):
            yield Cut(f"after {number} of {len(trace)}, part {part}", disk.left(chance), disk.said)


def broken_by(recording: Recording, cut: Cut, folder: Path) -> list[str]:
    """Start from what a cut left, and say which promises are broken."""
    for name in (NAME, f"{NAME}-wal", f"{NAME}-shm", f"{NAME}-journal"):
        (folder / name).unlink(missing_ok=True)
    for name, data in cut.files.items():
        (folder / name).write_bytes(data)
    url = f"sqlite:///{folder / NAME}"
    way, lines = recording.way, [*cut.said]
    with SqliteSaver.from_conn_string(str(folder / NAME), synchronous="NORMAL") as saver:
        broken = changed(saver, recording.checkpoints)
        if recording.synchronous == "FULL":
            broken += promises.lost(way, saver, lines)
        else:
            broken += holes(saver, lines)
        run(way, saver, lines.append)
        broken += promises.unlike_the_end(way, saver)
    if recording.synchronous == "FULL":
        broken += promises.run_again(cut.said, lines)
    damage = store_of(url).damage(url)
    return [*broken, f"the database is damaged: {damage}"] if damage else broken


def changed(saver: Any, checkpoints: Checkpoints) -> list[str]:
    """Say which checkpoints are not what they were."""
    return [f"checkpoint {key} has changed" for key, found in stored(saver).items() if checkpoints.get(key) != found]


def holes(saver: Any, lines: list[str]) -> list[str]:
    """Say what is missing although a checkpoint is there whose commit began when that was acknowledged."""
    there = stored(saver)
    present = promises.labels(saver)
    acknowledged: list[tuple[str, bool]] = []
    before: dict[str, int] = {}
    broken: list[str] = []
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "commits":
            before.setdefault(rest, len(acknowledged))
        elif word == "acked":
            acknowledged.append((line, rest in present))
        elif word == "checkpoint":
            acknowledged.append((line, is_there := tuple(rest.split(" ")) in there))
            if is_there:
                gone = [earlier for earlier, was_there in acknowledged[: before[rest]] if not was_there]
                broken += [f"{earlier} is lost, {line} is not" for earlier in gone]
    return broken


def campaign(recording: Recording, folder: Path, parts: float, seed: str) -> tuple[int, list[str]]:
    """Make all cuts of a recording; return how many, and what broke."""
    many = 0
    broken: list[str] = []
    for kind in (cuts(recording.trace), partial_cuts(recording.trace, parts, seed)):
        for cut in kind:
            many += 1
            try:
                problems = broken_by(recording, cut, folder)
            except Exception as e:
                problems = [repr(e)]
            broken += [f"{recording.way}, {recording.synchronous}, {cut.moment}: {p}" for p in problems]
    return many, broken


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="*", metavar="shape", help=f"of {', '.join(SHAPES)}; all if none is given")
    parser.add_argument("--colour", choices=COLOURS)
    parser.add_argument("--durability", choices=DURABILITIES)
    parser.add_argument("--synchronous", choices=SYNCHRONOUS)
    parser.add_argument("--parts", type=float, default=1, help="random parts of the unsynced, for each moment")
    parser.add_argument("--seed", default="0")
    given = parser.parse_args()
    total, broken = 0, []
    with tempfile.TemporaryDirectory(prefix="perdure-power-") as temporary:
        recordings = [
            record(
                Way(shape, colour, durability),
                synchronous,
                Path(temporary) / f"{shape}-{colour}-{durability}-{synchronous}",
            )
            for shape in given.shapes or SHAPES
            for colour in ([given.colour] if given.colour else COLOURS)
            for durability in ([given.durability] if given.durability else DURABILITIES)
            for synchronous in ([given.synchronous] if given.synchronous else SYNCHRONOUS)
        ]
        for recording in recordings:
            many, problems = campaign(recording, Path(temporary), given.parts, given.seed)
            total += many
            broken += problems
            print("\n".join([f"{recording.way!s:45} {recording.synchronous:6} {many:5} cuts", *problems]), flush=True)
    print(f"{total:,} power failures, {len(broken)} broken promises")
    return 1 if broken or not total else 0


if __name__ == "__main__":
    sys.exit(main())
