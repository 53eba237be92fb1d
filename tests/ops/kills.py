"""Kills migrations and prunes at moments before and after each statement, and takes them up again.

python -m tests.ops.kills [STRIDE]
"""

from __future__ import annotations

import signal
import sys
import tempfile
from functools import partial
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest
from tests.fault.program import Moments, in_a_child
from tests.fault.stores import store_of
from tests.ops.making import grow

from perdure.checkpoint.findings import Kind
from perdure.checkpoint.registry import open_saver
from perdure.interop.recognising import has_our_tables
from perdure.ops import migrate, prune, verify, writing

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


def _contents(url: str) -> dict[tuple[str, str, str], Any]:
    with open_saver(url) as saver:
        places = [(one.config["configurable"], one) for one in saver.list(None)]
    return {(at["thread_id"], at["checkpoint_ns"], at["checkpoint_id"]): one for at, one in places}


def prune_moments(url: str, at: int = 0) -> int:
    """Prune a watched database, and die at a moment; return how many there are."""
    moments = Moments(at)
    with store_of(url).watch(url, str, moments.tick) as saver:
        prune(saver, keep_last=2, keep_forks=True)
    return moments.count


def prune_killed_at_all(folder: Path, stride: int = 1) -> int:
    """Kill a prune at each moment: each thread is as it was, or as it is to be; return how many kills."""
    source = make(folder)
    before = _contents(source)
    copyfile(folder / "source.db", folder / "whole.db")
    many = prune_moments(f"sqlite:///{folder}/whole.db")
    after = _contents(f"sqlite:///{folder}/whole.db")
    moments = range(1, many, stride)
    for at in moments:
        copyfile(folder / "source.db", folder / f"{at}.db")
        url = f"sqlite:///{folder}/{at}.db"
        assert in_a_child(partial(prune_moments, url, at)) == -signal.SIGKILL
        found = _contents(url)
        for thread in THREADS:
            its = {key for key in found if key[0] == thread}
            assert its in ({key for key in before if key[0] == thread}, {key for key in after if key[0] == thread})
        assert all(found[key] == before[key] for key in found)
        prune(url, keep_last=2, keep_forks=True)
        assert _contents(url) == after
        assert {one.kind for one in verify(url).findings} <= {Kind.PARENT}
    return len(moments)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        print(f"{kill_at_all(Path(place), *map(int, sys.argv[1:]))} kills, nothing lost, nothing doubled")
    with tempfile.TemporaryDirectory() as place:
        print(f"{prune_killed_at_all(Path(place), *map(int, sys.argv[1:]))} kills of a prune, nothing else lost")
