"""One kill: run a shape to its death, look at what is left, go on in a new process, and check the promises."""

from dataclasses import dataclass, field
from pathlib import Path

from tests.fault import promises
from tests.fault.program import Log, Moments, Way, go_on, in_a_child
from tests.fault.stores import store_of


@dataclass
class Report:
    """What broke, and what happened."""

    moment: str
    broken: list[str] = field(default_factory=list)
    was_killed: bool = False


def moments(way: Way, url: str, folder: Path) -> int:
    """Run to the end and return how many moments there are to die at."""
    found = folder / "moments"
    log = Log(str(folder / "dry.log"))
    assert in_a_child(lambda: found.write_text(str(go_on(way, url, log)))) == 0
    log.close()
    return int(found.read_text())


def kill(way: Way, url: str, folder: Path, *, at: int = 0, after: float | None = None) -> Report:
    """Kill at a moment, or after some seconds; then resume and check."""
    report = Report(f"moment {at}" if after is None else f"after {after * 1000:.2f} ms")
    path = folder / "kill.log"
    path.unlink(missing_ok=True)
    log = Log(str(path))
    status = in_a_child(lambda: go_on(way, url, log, Moments(at)), killed_after=after)
    report.was_killed = status == -9
    if not report.was_killed and status != 0:
        report.broken.append(f"the killed program failed by itself: {status}")
    before = path.read_text().splitlines()
    store_of(url).outlast(url)
    found = folder / "found"
    if in_a_child(lambda: found.write_text("\n".join(_go_on_after(way, url, log, before)))) != 0:
        report.broken.append("what is left can't be read, or not be resumed")
    else:
        report.broken += found.read_text().splitlines()
    log.close()
    report.broken += promises.run_again(before, path.read_text().splitlines())
    if not report.broken:
        store_of(url).remove(url)
    return report


def _go_on_after(way: Way, url: str, log: Log, before: list[str]) -> list[str]:
    """Look at what is left, go on to the end, and look again."""
    broken = _look(way, url, before)
    log("resumed")
    go_on(way, url, log)
    store = store_of(url)
    with store.open(url) as saver:
        broken += promises.unlike_the_end(way, saver)
    damage = store.damage(url)
    return [*broken, f"the database is damaged: {damage}"] if damage else broken


def _look(way: Way, url: str, lines: list[str]) -> list[str]:
    store = store_of(url)
    if not store.exists(url):
        return ["nothing is left of what was acknowledged"] if any(promises.of_lines(lines)) else []
    with store.open(url) as saver:
        return promises.lost(way, saver, lines)
