"""One kill: run a shape to its death, look at what is left, go on in a new process, and check the promises."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
from tests.fault.program import Log, go_on, in_a_child
from tests.fault.shapes import CONFIG, LABELS, SHAPES

from perdure.checkpoint.sqlite import SqliteSaver


@dataclass
class Report:
    """What broke, and what happened."""

    broken: list[str] = field(default_factory=list)
    was_killed: bool = False
    next: tuple[str, ...] = ()


@dataclass(frozen=True)
class Way:
    """How a shape is run."""

    shape: str
    colour: str = "sync"
    durability: str = "sync"


def moments(way: Way, folder: Path) -> int:
    """Run to the end and return how many moments there are to die at."""
    log = Log(str(folder / "dry.log"))
    found = folder / "moments"
    db = str(folder / "dry.db")

    def run() -> None:
        found.write_text(str(go_on(way.shape, db, log, colour=way.colour, durability=way.durability)))

    assert in_a_child(run) == 0
    return int(found.read_text())


def kill(way: Way, folder: Path, *, at: int = 0, after: float | None = None) -> Report:
    """Kill at a moment, or after some seconds; then resume and check."""
    name = f"{at}-{after}"
    db, path = str(folder / f"{name}.db"), folder / f"{name}.log"
    log = Log(str(path))
    report = Report()
    status = in_a_child(
        lambda: go_on(way.shape, db, log, dies_at=at, colour=way.colour, durability=way.durability), killed_after=after
    )
    report.was_killed = status == -9
    if not report.was_killed and status != 0:
        report.broken.append(f"the killed program failed by itself: {status}")
    before = path.read_text().splitlines() if path.exists() else []
    left = folder / f"{name}.left"
    if in_a_child(lambda: left.write_text("\n".join(_look(way, db, before)))) != 0:
        report.broken.append("the store is unreadable after the kill")
    elif text := left.read_text():
        report.broken += text.splitlines()
    log("resumed")
    if in_a_child(lambda: go_on(way.shape, db, log, colour=way.colour, durability=way.durability)) != 0:
        report.broken.append("the run can't be resumed")
    report.broken += _check(way, before, path.read_text().splitlines(), db)
    for file in folder.glob(f"{name}.*"):
        if not report.broken:
            file.unlink()
    return report


def _look(way: Way, db: str, lines: list[str]) -> list[str]:
    """Say what of the acknowledged is missing, before anything runs again."""
    broken: list[str] = []
    acknowledged = {line.removeprefix("acked ") for line in lines if line.startswith("acked ")}
    checkpoints = [line.split()[1:] for line in lines if line.startswith("checkpoint ")]
    if not Path(db).exists():
        return ["nothing is left of what was acknowledged"] if acknowledged or checkpoints else []
    with SqliteSaver.from_conn_string(db) as saver:
        stored = {_stored_id(entry) for entry in saver.list({"configurable": {"thread_id": "t"}})}
        broken += [f"checkpoint {c} lost" for c in checkpoints if tuple(c) not in stored]
        state = SHAPES[way.shape](saver, lambda label: None).get_state(CONFIG, subgraphs=True)
        present = _labels(saver)
        broken += [f"write of {label} lost" for label in acknowledged - present]
        if checkpoints and not LABELS[way.shape] <= present and not state.next:
            broken.append(f"get_state says that nothing is next, with only {sorted(present)} done")
        flat = {label.split()[0] for label in acknowledged}
        broken += [f"get_state says that {name} is next, which is done" for name in state.next if name in flat]
    return broken


def _labels(saver: Any) -> set[str]:
    found: set[str] = set()
    for entry in saver.list({"configurable": {"thread_id": "t"}}):
        found.update(entry.checkpoint["channel_values"].get("items", ()))
        for _, channel, value in entry.pending_writes or ():
            found.update(value if channel == "items" else ())
    return found


def _stored_id(entry: Any) -> tuple[str, str]:
    configurable = entry.config["configurable"]
    return configurable["checkpoint_ns"] or "-", configurable["checkpoint_id"]


def _check(way: Way, before: list[str], lines: list[str], db: str) -> list[str]:
    """Check the end: each label once in the state, and no acknowledged one run again."""
    broken: list[str] = []
    runs = Counter(line.removeprefix("ran ") for line in lines if line.startswith("ran "))
    for line in before:
        label = line.removeprefix("acked ")
        if line.startswith("acked ") and runs[label] > 1:
            broken.append(f"{label} was finished, and ran again")
    with SqliteSaver.from_conn_string(db) as saver:
        items = SHAPES[way.shape](saver, lambda label: None).get_state(CONFIG).values.get("items", [])
    expected = Counter(["in", *LABELS[way.shape]])
    if Counter(items) != expected:
        broken.append(f"the state is {items}")
    connection = apsw.Connection(db)
    verdict = connection.execute("PRAGMA integrity_check").get
    connection.close()
    if verdict != "ok":
        broken.append(f"the database is damaged: {verdict}")
    return broken
