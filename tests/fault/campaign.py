"""Kills a shape many times, in one process that forks for each; prints what broke.

    python -m tests.fault.campaign chain --colour async --kills 1000

It is a program of its own since a fork needs a process without other threads.
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.fault.kills import Report, Way, kill, moments
from tests.fault.program import Log, go_on, in_a_child
from tests.fault.shapes import SHAPES


def every_moment(way: Way, folder: Path, stride: int) -> list[tuple[str, Report]]:
    count = moments(way, folder)
    return [(f"moment {at} of {count}", kill(way, folder, at=at)) for at in range(1, count + 1, stride)]


def random_times(way: Way, folder: Path, kills: int, seed: int) -> list[tuple[str, Report]]:
    chance = random.Random(seed)
    db, log = str(folder / "timing.db"), Log(str(folder / "timing.log"))
    begun = time.perf_counter()
    in_a_child(lambda: go_on(way.shape, db, log, colour=way.colour, durability=way.durability))
    longest = time.perf_counter() - begun
    times = [chance.uniform(0, 0.6 * longest) for _ in range(kills)]
    return [(f"after {seconds * 1000:.2f} ms", kill(way, folder, after=seconds)) for seconds in times]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=[*SHAPES])
    parser.add_argument("--colour", choices=["sync", "async"], default="sync")
    parser.add_argument("--durability", choices=["sync", "async"], default="sync")
    parser.add_argument("--kills", type=int, default=0, help="kills at random times instead of one at every statement")
    parser.add_argument("--stride", type=int, default=1, help="leave out moments")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    way = Way(given.shape, given.colour, given.durability)
    with tempfile.TemporaryDirectory() as folder:
        if given.kills:
            reports = random_times(way, Path(folder), given.kills, given.seed)
        else:
            reports = every_moment(way, Path(folder), given.stride)
    killed = sum(report.was_killed for _, report in reports)
    broken = [(moment, report.broken) for moment, report in reports if report.broken]
    for moment, problems in broken:
        print(f"{moment}: {'; '.join(problems)}")
    print(f"{killed} kills of {way.shape} ({way.colour}, durability={way.durability}), {len(broken)} broken promises")
    return 1 if broken or not killed else 0


if __name__ == "__main__":
    sys.exit(main())
