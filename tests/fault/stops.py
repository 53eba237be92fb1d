"""Stops programs (SIGSTOP) for longer than their lease, lets another one go on, wakes them again; tells what broke.

    python -m tests.fault.stops chain --colour async
    python -m tests.fault.stops chain --at statements --stride 5 --store postgresql

A program is stopped when it has just said something (a node ran, a commit was acknowledged), or at a storage statement.
What must hold, whatever the moment: the other one gets the thread and ends the run; what the first one still wants to
commit is refused; nothing is lost, doubled or forked. One that is stopped in the middle of a transaction keeps what it
has locked: the database, as SQLite has it, or the rows of its thread. Then the other one waits, and nothing of this is
broken either.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from tests.fault import promises
from tests.fault.program import COLOURS, Log, Moments, Way, go_on, in_a_child
from tests.fault.shapes import SHAPES
from tests.fault.stores import STORES, store_of

from perdure.errors import ConflictError, GraphDrained, UnknownInterruptError
from perdure.pregel import turns

LEASE = 0.3
OUTCOMES = {0: "ended", 3: "refused", 4: "answered too late", 5: "gave up"}
"""By exit status. A program gives up, without a commit, where the renewal of its lease fails before that."""


def begin(way: Way, url: str, folder: Path) -> None:
    """Store an input, and die in the first node: so whoever comes next has something to resume."""
    log = Log(str(folder / "begun.log"))

    def die(line: str) -> None:
        log(line)
        if line.startswith("ran "):
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_a_child(lambda: go_on(Way(way.shape), url, die)) == -signal.SIGKILL
    log.close()
    store_of(url).outlast(url)


def go_on_stopping(way: Way, url: str, path: Path, kind: str = "words", at: int = 0) -> int:
    """Go on, and stop at a moment of a kind; return how many of these there were."""
    said, asked = Moments(at if kind == "words" else 0, signal.SIGSTOP), Moments(at, signal.SIGSTOP)
    log = Log(str(path))

    def say(line: str) -> None:
        log(line)
        said.tick()

    go_on(way, url, say, asked if kind == "statements" else None)
    return asked.count if kind == "statements" else said.count


def start(way: Way, url: str, path: Path, kind: str = "words", at: int = 0) -> int:
    """Start a program; return its process id. One that will be stopped has a short lease."""
    child = os.fork()
    if child:
        return child
    if at:
        turns.LEASE_SECONDS = LEASE
    status = 1
    try:
        go_on_stopping(way, url, path, kind, at)
        status = 0
    except ConflictError:
        status = 3
    except UnknownInterruptError:
        status = 4
    except GraphDrained:
        status = 5
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def ends_within(process: int, seconds: float) -> bool:
    """Wait for a process, but leave it to be waited for."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return True
        time.sleep(0.01)
    return False


def status_of(process: int) -> int:
    if not ends_within(process, 40):
        os.kill(process, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def stop(way: Way, url: str, folder: Path, kind: str, at: int) -> tuple[str, list[str]]:
    """Stop a program at a moment; return how it ended, and what broke."""
    begin(way, url, folder)
    paths = [folder / "first.log", folder / "second.log"]
    first = start(way, url, paths[0], kind, at)
    _, status = os.waitpid(first, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        return "not stopped", [] if status == 0 else [f"the first program failed by itself: {status}"]
    before = paths[0].read_text().splitlines()
    time.sleep(LEASE * 1.2)
    second = start(way, url, paths[1])
    holds_the_lock = not ends_within(second, 2)
    os.kill(first, signal.SIGCONT)
    outcome = OUTCOMES.get(status_of(first), "failed")
    broken = ["the first program failed"] if outcome == "failed" else []
    if status_of(second) not in {0, *((3, 4, 5) if holds_the_lock else ())}:
        broken.append("the second program failed")
    lines = [line for path in paths for line in path.read_text().splitlines()]
    found = folder / "found"
    if in_a_child(lambda: found.write_text("\n".join(_at_the_end(way, url, lines)))) != 0:
        broken.append("what is left can't be read, or not be resumed")
    else:
        broken += found.read_text().splitlines()
    broken += promises.run_again(before, lines)
    if not broken:
        store_of(url).remove(url)
    return outcome + (" (in a transaction)" if holds_the_lock else ""), broken


def _at_the_end(way: Way, url: str, lines: list[str]) -> list[str]:
    go_on(way, url, lines.append)  # where both have given up
    with store_of(url).open(url) as saver:
        return promises.lost(way, saver, lines) + promises.unlike_the_end(way, saver) + promises.forks(saver)


def together(way: Way, folder: Path, given: argparse.Namespace, at: list[int]) -> list[tuple[str, list[str]]]:
    """Stop programs at several moments at the same time: they mostly sleep."""
    children = []
    for moment in at:
        place = folder / str(moment)
        place.mkdir()
        url = STORES[given.store].url(place, "stopped")
        if not (child := os.fork()):
            status = 1
            try:
                outcome = stop(way, url, place, given.at, moment)
                (place / "outcome").write_text(json.dumps(outcome))
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        children.append((child, place / "outcome"))
    statuses = [os.waitpid(child, 0)[1] for child, _ in children]
    assert not any(statuses), "see the traceback above"
    return [json.loads(path.read_text()) for _, path in children]


def count(way: Way, url: str, folder: Path, kind: str) -> int:
    """Count the moments of a run that resumes."""
    begin(way, url, folder)
    found = folder / "count"
    assert in_a_child(lambda: found.write_text(str(go_on_stopping(way, url, folder / "count.log", kind)))) == 0
    return int(found.read_text())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=[*SHAPES])
    parser.add_argument("--store", choices=[*STORES], default="sqlite")
    parser.add_argument("--colour", choices=COLOURS, default="sync")
    parser.add_argument("--durability", choices=["sync", "async"], default="sync")
    parser.add_argument("--at", choices=["words", "statements"], default="words")
    parser.add_argument("--jobs", type=int, default=6, help="programs at the same time")
    parser.add_argument("--stride", type=int, default=1, help="leave out moments")
    given = parser.parse_args()
    way = Way(given.shape, given.colour, given.durability)
    outcomes: Counter[str] = Counter()
    failures = 0
    with tempfile.TemporaryDirectory(prefix="perdure-stops-") as temporary, STORES[given.store].serving():
        folder = Path(temporary)
        many = count(way, STORES[given.store].url(folder, "dry"), folder, given.at)
        moments = list(range(1, many + 1, given.stride))
        for batch in (moments[n : n + given.jobs] for n in range(0, len(moments), given.jobs)):
            for at, (outcome, broken) in zip(batch, together(way, folder, given, batch), strict=True):
                outcomes[outcome] += 1
                failures += bool(broken)
                if broken:
                    print(f"BROKEN: {way}, moment {at} of {many}, {outcome}: {'; '.join(broken)}", flush=True)
    stopped = outcomes.total() - outcomes["not stopped"]
    print(f"{stopped} stops of {way}: {dict(outcomes)}, {failures} broken promises")
    return 1 if failures or not outcomes["refused"] + outcomes["gave up"] else 0


if __name__ == "__main__":
    sys.exit(main())
