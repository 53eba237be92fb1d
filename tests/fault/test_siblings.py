"""Parallel tasks, one of which raises as another finishes: what finished is kept and isn't run again."""

import asyncio
import operator
import threading
from typing import Annotated

import pytest
from typing_extensions import TypedDict

from perdure.checkpoint.memory import InMemorySaver
from perdure.graph import START, StateGraph

REPEATS = 1000


class State(TypedDict):
    items: Annotated[list, operator.add]


class Race:
    """Two tasks that end at the same moment, one well and one not."""

    def __init__(self, saver):
        self.attempts = {}
        self.finished = []
        self.together = threading.Barrier(2)
        self.meeting = None
        builder = StateGraph(State)
        for name in ("good", "bad"):
            builder.add_node(name, getattr(self, name))
            builder.add_edge(START, name)
        self.graph = builder.compile(checkpointer=saver)

    def meet(self, config):
        thread = config["configurable"]["thread_id"]
        first = self.attempts.setdefault(thread, 0) < 2
        self.attempts[thread] += 1
        if first:
            self.together.wait(10)
        return thread, first

    def good(self, state, config):
        thread, _ = self.meet(config)
        self.finished.append(thread)
        return {"items": ["good"]}

    def bad(self, state, config):
        _, first = self.meet(config)
        if first:
            raise ValueError("bad")
        return {"items": ["bad"]}


class AsyncRace(Race):
    async def meet(self, config):
        thread = config["configurable"]["thread_id"]
        first = self.attempts.setdefault(thread, 0) < 2
        self.attempts[thread] += 1
        if first:
            self.meeting = self.meeting or asyncio.Barrier(2)
            await self.meeting.wait()
        return thread, first

    async def good(self, state, config):
        thread, _ = await self.meet(config)
        self.finished.append(thread)
        return {"items": ["good"]}

    async def bad(self, state, config):
        _, first = await self.meet(config)
        if first:
            raise ValueError("bad")
        return {"items": ["bad"]}


def check(race, thread, was_finished, items):
    assert items in (["in", "good", "bad"], ["in", "bad", "good"])
    if was_finished:
        assert race.finished.count(thread) == 1, "the finished sibling ran again"


@pytest.mark.timeout(120)
def test_threads():
    race = Race(InMemorySaver())
    for n in range(REPEATS):
        config = {"configurable": {"thread_id": f"t{n}"}}
        with pytest.raises(ValueError, match="bad"):
            race.graph.invoke({"items": ["in"]}, config)
        was_finished = "good" in race.graph.get_state(config).values["items"]
        assert was_finished, "the good sibling's write is lost"
        check(race, f"t{n}", was_finished, race.graph.invoke(None, config)["items"])


@pytest.mark.timeout(120)
async def test_tasks():
    race = AsyncRace(InMemorySaver())
    for n in range(REPEATS):
        config = {"configurable": {"thread_id": f"t{n}"}}
        with pytest.raises(ValueError, match="bad"):
            await race.graph.ainvoke({"items": ["in"]}, config)
        # A task that was cancelled before it ended isn't finished; one that ended is kept.
        was_finished = f"t{n}" in race.finished
        assert ("good" in (await race.graph.aget_state(config)).values["items"]) == was_finished
        check(race, f"t{n}", was_finished, (await race.graph.ainvoke(None, config))["items"])
