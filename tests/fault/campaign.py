"""Kills programs many times, at storage statements and at random times; tells what broke.

    python -m tests.fault.campaign                          10,000 kills over all shapes, colours and durabilities
    python -m tests.fault.campaign chain --kills 100        one shape
    python -m tests.fault.campaign chain --colour async --durability exit --kills 50 --seed 7
    python -m tests.fault.campaign --store postgresql --every             once at each statement, on Postgres
    python -m tests.fault.campaign --store redis --every                  the same on a Valkey
    python -m tests.fault.campaign --store postgresql --every --stride 9  at each ninth: of each way other ones

Half of the kills of each way are at statements (all of them, or evenly chosen ones), half at random times. It is a
program of its own since a fork needs a process without other threads.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.fault.kills import Report, kill, moments
from tests.fault.program import COLOURS, DURABILITIES, Log, Way, go_on, in_a_child
from tests.fault.shapes import SHAPES
from tests.fault.stores import STORES


class Target:
    """A way of running, and how long it takes; makes one worker's share of its kills, one after the other."""

    def __init__(self, way: Way, given: argparse.Namespace, folder: Path, worker: int) -> None:
        self.way = way
        self._store = STORES[given.store]
        self._folder = folder
        self._worker, self._workers = worker, given.jobs
        self._chance = random.Random(f"{given.seed} {worker} {way}")
        self._count = itertools.count()
        self.moments = moments(way, self._fresh(), folder)
        begun = time.perf_counter()
        log = Log(str(folder / "timing.log"))
        url = self._fresh()
        in_a_child(lambda: go_on(way, url, log))
        log.close()
        self._longest = time.perf_counter() - begun

    def _fresh(self) -> str:
        name = f"{self.way.shape}-{self.way.colour}-{self.way.durability}-{next(self._count)}"
        return self._store.url(self._folder, name)

    def every(self, stride: int, first: int) -> Iterator[Report]:
        """Kill at each statement, or at some: all `stride` from a first one on."""
        for at in range(1 + first, self.moments + 1, stride)[self._worker :: self._workers]:
            yield kill(self.way, self._fresh(), self._folder, at=at)

    def kills(self, many: int) -> Iterator[Report]:
        """Make so many kills; runs that ended before their kill don't count."""
        mine = range(1 + self._worker, self.moments + 1, self._workers)
        chosen = min(len(mine), (many + 1) // 2)
        left = many
        for n in range(chosen):
            report = kill(self.way, self._fresh(), self._folder, at=mine[n * len(mine) // chosen])
            left -= report.was_killed
            yield report
        while left > 0:
            after = self._chance.uniform(0, 0.7 * self._longest)
            report = kill(self.way, self._fresh(), self._folder, after=after)
            left -= report.was_killed
            yield report


class Progress:
    """Counts, and tells now and then how far it is."""

    def __init__(self, of: int) -> None:
        self._of = of
        self._begun = self._told = time.monotonic()
        self.kills: Counter[str] = Counter()
        self.broken: Counter[str] = Counter()

    def note(self, way: str, was_killed: bool, broken: str) -> None:
        self.kills[way] += was_killed
        if broken:
            self.broken[way] += 1
            print(f"BROKEN: {way}, {broken}", flush=True)
        now = time.monotonic()
        if now - self._told > 10:
            self._told = now
            done = self.kills.total()
            left = (now - self._begun) * (self._of - done) / max(done, 1)
            print(
                f"{done:,} kills, {self.broken.total()} broken"
                + (f", {self._of - done:,} kills and {left / 60:.1f} min left" if self._of else ""),
                file=sys.stderr,
                flush=True,
            )

    def summary(self) -> str:
        rows = [f"{way:45} {many:6,} kills {self.broken[way]:6} broken" for way, many in sorted(self.kills.items())]
        minutes = (time.monotonic() - self._begun) / 60
        return "\n".join(
            [*rows, f"{self.kills.total():,} kills in {minutes:.1f} min, {self.broken.total()} broken promises"]
        )


def work(ways: list[Way], given: argparse.Namespace, worker: int, folder: Path, tell: int) -> None:
    """Do a worker's part, and tell of each kill in one line: its way, whether it was one, and what broke."""
    with open(tell, "w", buffering=1) as out:
        for number, way in enumerate(ways):
            many = share(share(given.kills, len(ways), number), given.jobs, worker)
            if many == 0 and not given.every:
                continue
            target = Target(way, given, folder, worker)
            for report in target.every(given.stride, number % given.stride) if given.every else target.kills(many):
                problems = f"{report.moment}: {'; '.join(report.broken)}" if report.broken else ""
                out.write(f"{way}\t{int(report.was_killed)}\t{problems}\n")


def share(many: int, of: int, number: int) -> int:
    """Return the size of one of so many equal parts."""
    return many * (number + 1) // of - many * number // of


def start(ways: list[Way], given: argparse.Namespace, worker: int, folder: Path) -> tuple[int, int]:
    """Fork a worker; return its id and what it tells on."""
    hears, tells = os.pipe()
    child = os.fork()
    if child:
        os.close(tells)
        return child, hears
    os.close(hears)
    status = 1
    try:
        folder.mkdir(parents=True, exist_ok=True)
        work(ways, given, worker, folder, tells)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def follow(workers: list[tuple[int, int]], progress: Progress) -> bool:
    """Note what workers tell until all have ended; return whether all ended well."""
    import selectors

    with selectors.DefaultSelector() as listening:
        for _, hears in workers:
            listening.register(os.fdopen(hears), selectors.EVENT_READ)
        while listening.get_map():
            for key, _ in listening.select():
                line = key.fileobj.readline()
                if not line:
                    listening.unregister(key.fileobj)
                    key.fileobj.close()
                    continue
                way, was_killed, broken = line.rstrip("\n").split("\t")
                progress.note(way, was_killed == "1", broken)
    statuses = [os.waitpid(pid, 0)[1] for pid, _ in workers]
    return not any(statuses)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="*", metavar="shape", help=f"of {', '.join(SHAPES)}; all if none is given")
    parser.add_argument("--store", choices=[*STORES], default="sqlite")
    parser.add_argument("--colour", choices=COLOURS)
    parser.add_argument("--durability", choices=DURABILITIES)
    parser.add_argument("--kills", type=int, default=10_000)
    parser.add_argument("--every", action="store_true", help="kill at every statement instead, once")
    parser.add_argument("--stride", type=int, default=1, help="with --every: leave out statements")
    parser.add_argument("--folder", type=Path, help="where stores with broken promises are kept")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 4))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if unknown := set(given.shapes) - set(SHAPES):
        parser.error(f"no shape {', '.join(sorted(unknown))}")
    return given


def main() -> int:
    given = arguments()
    ways = [
        Way(shape, colour, durability)
        for shape in given.shapes or SHAPES
        for colour in ([given.colour] if given.colour else COLOURS)
        for durability in ([given.durability] if given.durability else DURABILITIES)
    ]
    progress = Progress(0 if given.every else given.kills)
    with tempfile.TemporaryDirectory(prefix="perdure-kills-") as temporary, STORES[given.store].serving():
        folder = (given.folder or Path(temporary)).absolute()
        workers = [start(ways, given, worker, folder / f"worker{worker}") for worker in range(given.jobs)]
        ended_well = follow(workers, progress)
    print(progress.summary())
    if not ended_well:
        print("a worker failed: see its traceback above", file=sys.stderr)
    enough = progress.kills.total() >= (1 if given.every else given.kills)
    return 0 if ended_well and enough and not progress.broken else 1


if __name__ == "__main__":
    sys.exit(main())
