"""Kills migrations at moments before and after the target's statements, and takes them up again.

python -m tests.ops.kills [STRIDE]
"""

from __future__ import annotations

import signal
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest
from tests.fault.program import Moments, in_a_child
from tests.fault.stores import store_of
from tests.ops.making import grow

from perdure.checkpoint.registry import open_saver
from perdure.interop.recognising import has_our_tables
from perdure.ops import migrate, verify, writing

THREADS = ("a", "b")


def make(folder: Path) -> str:
    """Make a database of two short threads; return its URL."""
    url = f"sqlite:///{folder}/source.db"
    with open_saver(url, synchronous="NORMAL") as saver:
        for thread in THREADS:
            grow(saver, thread, 1, steps=5)
    return url


def moments_of(source: str, target: str, at: int = 0) -> int:
    """Migrate onto a watched target, and die at a moment; return how many there are."""
    moments = Moments(at)
    with pytest.MonkeyPatch.context() as patch, store_of(target).watch(target, str, moments.tick) as saver:
        patch.setattr(writing, "_BATCH", 2)
        migrate(source, saver)
    return moments.count


def kill_at(at: int, source: str, target: str) -> None:
    """Kill a migration at a moment, look at what is there, and take it up again."""
    assert in_a_child(partial(moments_of, source, target, at)) == -signal.SIGKILL
    if has_our_tables(target):  # it may have died before it made any
        assert verify(target).findings == []
    assert migrate(source, target, verify=True).differences == []
    assert verify(target).findings == []


def kill_at_all(folder: Path, stride: int = 1) -> int:
    """Kill a migration at each moment; return how many these were."""
    source = make(folder)
    many = moments_of(source, f"sqlite:///{folder}/whole.db")
    moments = range(1, many, stride)
    for at in moments:
        kill_at(at, source, f"sqlite:///{folder}/{at}.db")
    return len(moments)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        print(f"{kill_at_all(Path(place), *map(int, sys.argv[1:]))} kills, nothing lost, nothing doubled")
