"""The engine on savers that have only the six classic methods: of one colour, or of another library."""

import operator
from collections import defaultdict
from typing import Annotated, TypedDict

import pytest

from perdure.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from perdure.graph import START, StateGraph
from perdure.types import Command, Send, interrupt


class State(TypedDict):
    items: Annotated[list, operator.add]


class SyncOnly(BaseCheckpointSaver):
    """Keeps everything in dicts; the least that a person would write."""

    def __init__(self):
        super().__init__()
        self.rows = defaultdict(dict)
        self.writes = defaultdict(dict)

    def _key(self, config):
        conf = config["configurable"]
        return conf["thread_id"], conf.get("checkpoint_ns", "")

    def get_tuple(self, config):
        key = self._key(config)
        wanted = config["configurable"].get("checkpoint_id") or max(self.rows[key], default=None)
        if wanted not in self.rows[key]:
            return None
        checkpoint, metadata, parent = self.rows[key][wanted]
        conf = {"thread_id": key[0], "checkpoint_ns": key[1]}
        found = sorted(self.writes[(*key, wanted)].items(), key=lambda item: (item[1][0], item[0]))
        return CheckpointTuple(
            {"configurable": {**conf, "checkpoint_id": wanted}},
            checkpoint,
            metadata,
            {"configurable": {**conf, "checkpoint_id": parent}} if parent else None,
            [(task_id, channel, value) for (task_id, _), (_, channel, value) in found],
        )

    def list(self, config, *, filter=None, before=None, limit=None):
        key = self._key(config)
        bound = before["configurable"]["checkpoint_id"] if before else "g"
        for id_ in sorted((i for i in self.rows[key] if i < bound), reverse=True)[:limit]:
            yield self.get_tuple({"configurable": {**config["configurable"], "checkpoint_id": id_}})

    def put(self, config, checkpoint, metadata, new_versions):
        key = self._key(config)
        self.rows[key][checkpoint["id"]] = (dict(checkpoint), metadata, config["configurable"].get("checkpoint_id"))
        conf = {"thread_id": key[0], "checkpoint_ns": key[1], "checkpoint_id": checkpoint["id"]}
        return {"configurable": conf}

    def put_writes(self, config, writes, task_id):  # an old saver: without task_path
        kept = self.writes[(*self._key(config), config["configurable"]["checkpoint_id"])]
        special = {"__error__": -1, "__interrupt__": -3, "__resume__": -4}
        for place, (channel, value) in enumerate(writes):
            index = special.get(channel, place)
            if index < 0 or (task_id, index) not in kept:
                kept[task_id, index] = ("", channel, value)

    def delete_thread(self, thread_id):
        for key in [k for k in self.rows if k[0] == thread_id]:
            del self.rows[key]


class AsyncOnly(BaseCheckpointSaver):
    def __init__(self):
        super().__init__()
        self.inner = SyncOnly()

    async def aget_tuple(self, config):
        return self.inner.get_tuple(config)

    async def alist(self, config, *, filter=None, before=None, limit=None):
        for found in self.inner.list(config, before=before, limit=limit):
            yield found

    async def aput(self, config, checkpoint, metadata, new_versions):
        return self.inner.put(config, checkpoint, metadata, new_versions)

    async def aput_writes(self, config, writes, task_id, task_path=""):
        self.inner.put_writes(config, writes, task_id)

    async def adelete_thread(self, thread_id):
        self.inner.delete_thread(thread_id)


def of_another_library():
    from langgraph.checkpoint.memory import InMemorySaver

    return InMemorySaver()


@pytest.fixture(params=[SyncOnly, AsyncOnly, of_another_library])
def saver(request):
    return request.param()


@pytest.fixture(params=["sync", "async"])
def invoke(request, saver):
    graph = build(saver)

    async def call(value, config, **options):
        if request.param == "sync":
            return graph.invoke(value, config, **options)
        return await graph.ainvoke(value, config, **options)

    call.graph = graph
    return call


def build(saver):
    def ask(state):
        return {"items": [interrupt("sure?")]}

    builder = StateGraph(State)
    builder.add_node("work", lambda state: {"items": [state["n"]]})
    builder.add_node("ask", ask)
    builder.add_conditional_edges(START, lambda state: [Send("work", {"n": n}) for n in range(3)], ["work"])
    builder.add_edge("work", "ask")
    return builder.compile(checkpointer=saver)


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_run_stops_to_ask_and_goes_on(invoke, durability):
    config = {"configurable": {"thread_id": "t"}}
    stopped = await invoke({"items": []}, config, durability=durability)
    assert stopped["__interrupt__"][0].value == "sure?"
    snapshot = await invoke.graph.aget_state(config)
    assert snapshot.next == ("ask",)
    assert snapshot.values == {"items": [0, 1, 2]}
    done = await invoke(Command(resume="yes"), config, durability=durability)
    assert done == {"items": [0, 1, 2, "yes"]}
    history = [s async for s in invoke.graph.aget_state_history(config)]
    assert history[0].values == done
    assert history[0].next == ()
    assert len(history) == (2 if durability == "exit" else 4)


async def test_a_fork_from_an_old_checkpoint(invoke):
    config = {"configurable": {"thread_id": "t"}}
    await invoke({"items": []}, config)
    stop = (await invoke.graph.aget_state(config)).config
    await invoke(Command(resume="one"), config)
    branch = await invoke.graph.aupdate_state(stop, {"items": ["mine"]}, as_node="work")
    assert (await invoke.graph.aget_state(branch)).values["items"] == [0, 1, 2, "mine"]
    assert (await invoke(Command(resume="two"), config))["items"] == [0, 1, 2, "mine", "two"]


def test_what_is_no_saver_is_refused():
    class Half:
        def get_tuple(self, config):
            return None

    with pytest.raises(TypeError, match="Half is no saver: it has no list, put, put_writes, delete_thread"):
        build(Half())


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("colour", ["sync", "async"])
async def test_what_is_deleted_is_not_kept_in_memory_either(kind, colour):
    from perdure.checkpoint.memory import InMemorySaver
    from perdure.checkpoint.sqlite import SqliteSaver

    with InMemorySaver() if kind == "memory" else SqliteSaver.from_conn_string(":memory:") as saver:
        builder = StateGraph(State).add_node("a", lambda state: {"items": ["secret" * 100]}).add_edge(START, "a")
        for thread in ("gone", "kept"):
            builder.compile(checkpointer=saver).invoke({"items": []}, {"configurable": {"thread_id": thread}})
        if colour == "sync":
            saver.delete_thread("gone")
        else:
            await saver.adelete_thread("gone")
        assert {key[0] for key in saver._lineage.values._values} == {"kept"}
