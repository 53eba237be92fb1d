"""Recorded histories of several callers are linearizable, also when some are killed; the checker sees what isn't."""

import itertools
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.race.callers import call_all, calls_of, final_of, graph_on, notes_in
from tests.race.histories import Call, Thread, problems

from perdure.checkpoint.memory import InMemorySaver
from perdure.checkpoint.registry import open_saver

ROOT = Path(__file__).parents[2]


# -- recorded histories


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_in_memory(colour):
    saver, notes = InMemorySaver(), []
    call_all(graph_on(saver), colour, "m", notes.append)
    check(calls_of(notes, time.monotonic()), final_of(saver), unfinished=0)


def check(calls, final, *, unfinished):
    assert problems(calls, final) == []
    assert sum(call.value is not None and call.result is not None for call in calls) > 15
    assert sum(call.value is None for call in calls) > 5
    assert sum(call.result is None for call in calls) <= unfinished


class Process:
    """A process of callers; it dies when it has noted so many calls and replies, in the middle of something."""

    def __init__(self, url, colour, name, folder, dies_after=0):
        self.log = folder / f"{name}.log"
        self._dies = dies_after > 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.race.callers", url, colour, name, str(self.log), str(dies_after)], cwd=ROOT
        )

    def calls(self):
        assert self._process.wait(60) == (-9 if self._dies else 0)
        return calls_of(notes_in(self.log), time.monotonic())


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("url", "killed"),
    [*itertools.product(["sqlite", "postgres", "pgbouncer"], [0, 3]), ("redis", 3)],
    indirect=["url"],
)
def test_in_processes(tmp_path, url, killed):
    chance = random.Random(killed)
    processes = [
        Process(url, colour, f"p{n}", tmp_path, dies_after=chance.randint(2, 30) if n < killed else 0)
        for n, colour in enumerate(("sync", "async", "sync"))
    ]
    calls, lost = [], []
    for n in range(killed):
        # The dead one's calls ended, at the latest, now; the others go on, and a new one joins them.
        lost += processes.pop(0).calls()
        processes.append(Process(url, ("async", "sync")[n % 2], f"new{n}", tmp_path))
    for process in processes:
        calls += process.calls()
    with open_saver(url) as saver:
        check(calls + lost, final_of(saver), unfinished=3 * killed)


# -- the checker


def call(value, called, ended, result, head=None):
    return Call("t", value, called, ended, result, head)


A, B, C = ["a", "a'"], ["b", "b'"], ["c", "c'"]
GOOD = [
    call("a", 0, 2, A),
    call(None, 1, 2, ["a"], "1"),  # amid a's run
    call("b", 3, 5, A + B),
    call(None, 6, 7, A + B, "3"),
    call("c", 8, 9, None),  # its caller died at 9
    call(None, 10, 11, A + B + ["c"], "4"),
]
CHAIN = [("4", "3"), ("3", "2"), ("2", "1"), ("1", None)]
END = Thread(A + B + ["c"], CHAIN)


def test_a_good_history_is_accepted():
    assert problems(GOOD, {"t": END}) == []
    unapplied = [*GOOD[:5], call(None, 10, 11, A + B, "3")]
    assert problems(unapplied, {"t": Thread(A + B, CHAIN)}) == []
    concurrent = [call("b", 0, 9, A + B), call("a", 1, 9, A)]
    assert problems(concurrent, {"t": Thread(A + B, CHAIN)}) == []


def replaced(place, new):
    return [*GOOD[:place], new, *GOOD[place + 1 :]]


@pytest.mark.parametrize(
    ("calls", "end", "why"),
    [
        (GOOD, Thread([*B, "c"], CHAIN), "a is lost"),
        (GOOD, Thread(A + B + A, CHAIN), "a is there 2 times"),
        (GOOD, Thread([*A, *B, "c", "other"], CHAIN), "other was never written"),
        (GOOD, Thread(B + A + ["c"], CHAIN), "no beginning of the final list"),
        (GOOD, Thread(["a", "b", "a'", "b'", "c"], CHAIN), "another run came between"),
        (replaced(0, call("a", 6, 7, A)), END, "b stands at 4|a stands at 2"),
        (replaced(2, call("b", 3, 5, B)), END, "no beginning"),
        (replaced(2, call("b", 3, 5, A + B + ["c"])), END, "ends with"),
        (replaced(3, call(None, 6, 7, A, "3")), END, "a read stands at 2"),
        (replaced(3, call(None, 6, 7, A + B + ["c"], "3")), END, "c stands at 5"),
        (replaced(4, call("c", 0, 1, None)), Thread(A + B + ["c"], CHAIN), "a read stands|b stands|c stands"),
        (replaced(4, call("c", 12, 13, None)), END, "c stands at 5"),
        (replaced(5, call(None, 10, 11, END.items, "2")), END, "the head went back from 3 to 2"),
        (GOOD, Thread(END.items, [("4", "2"), ("3", "2"), ("2", "1"), ("1", None)]), "no chain"),
        (GOOD, Thread(END.items, [("4", "3"), ("2", "1"), ("3", "2"), ("1", None)]), "ids don't ascend"),
    ],
)
def test_forged_histories_are_refused(calls, end, why):
    assert any(re.search(why, problem) for problem in problems(calls, {"t": end}))
