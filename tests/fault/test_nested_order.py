"""A subgraph's checkpoints are durable only when those of the graph around it are that they belong to.

Else a crash between the two leaves work that was acknowledged and that nobody finds again: it is run once more.
"""

import threading
import time

import pytest
from tests.fault.program import Way, run

from perdure.checkpoint.memory import InMemorySaver


class SlowOutside(InMemorySaver):
    """Takes long for the outer graph; notes what was stored before what it hangs on."""

    inline = False

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()
        self.stored = set()
        self.inner = 0
        self.early = []

    def prepare(self, commit):
        return commit, super().prepare(commit)

    def commit(self, prepared):
        if any(commit.checkpoint_ns == "" for commit, _ in prepared):
            time.sleep(0.05)
        stop = super().commit([one for _, one in prepared])
        with self.lock:
            for commit, _ in prepared:
                self._note(commit)
        return stop

    async def acommit(self, prepared):
        import asyncio

        return await asyncio.to_thread(self.commit, prepared)

    def _note(self, commit):
        if commit.checkpoint is None:
            return
        self.stored.add(commit.checkpoint["id"])
        if commit.checkpoint_ns:
            self.inner += 1
            outer = commit.metadata["parents"][""]
            if outer not in self.stored:
                self.early.append((commit.checkpoint_ns, commit.checkpoint["id"], outer))


@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize("durability", ["sync", "async"])
def test_the_outer_checkpoint_comes_first(colour, durability):
    saver = SlowOutside()
    run(Way("nested", colour, durability), saver, lambda line: None)
    assert saver.inner > 0
    assert saver.early == []
