"""perdure's own RemoteGraph: a client in both colours, and a node."""

import asyncio
import operator
import uuid
from typing import Annotated, TypedDict

import pytest

from perdure.checkpoint.memory import InMemorySaver
from perdure.errors import InvalidConfigError, TransientStorageError
from perdure.graph import START, StateGraph
from perdure.pregel.remote import RemoteException, RemoteGraph
from perdure.types import Command, Interrupt


class Both:
    """A graph in one colour, asked in the other's words."""

    def __init__(self, graph, is_async):
        self.graph, self.is_async = graph, is_async

    def __getattr__(self, name):
        def call(*args, **kwargs):
            found = getattr(self.graph, ("a" if self.is_async else "") + name)(*args, **kwargs)
            if hasattr(found, "__aiter__"):
                return asyncio.run(self.collect(found))
            if hasattr(found, "__await__"):
                return asyncio.run(self.wait(found))
            return list(found) if hasattr(found, "__next__") else found

        return call

    @staticmethod
    async def collect(items):
        return [item async for item in items]

    @staticmethod
    async def wait(found):
        return await found


@pytest.fixture(params=["sync", "async"])
def remote(request, server):
    return Both(RemoteGraph("line", url=server.url), request.param == "async")


def config():
    return {"configurable": {"thread_id": str(uuid.uuid4())}}


def test_it_runs_asks_and_goes_on(remote):
    where = config()
    assert remote.invoke({"items": ["r"]})["items"] == ["r", "first", "second"]
    asked = remote.invoke({"items": [], "ask": ["?"]}, where)
    [question] = asked["__interrupt__"]
    assert isinstance(question, Interrupt)
    state = remote.get_state(where)
    assert (state.next, state.values["items"], state.interrupts) == (("second",), ["first"], (question,))
    done = remote.invoke(Command(resume={question.id: "!"}), where)
    assert done["items"] == ["first", "!", "second"]
    moved = remote.update_state(where, {"items": ["x"]}, as_node="first")
    assert remote.get_state(moved).values["items"][-1] == "x"
    history = remote.get_state_history(where)
    assert history[0].next == ("second",)
    assert history[0].parent_config == history[1].config
    assert remote.invoke(None, history[-2].config)["items"] == ["first"]
    assert [n["id"] for n in remote.get_graph()["nodes"]] == ["__start__", "first", "second", "__end__"]


def test_it_streams(remote):
    assert remote.stream({"items": []}, stream_mode="updates")[0] == {"first": {"items": ["first"]}}
    parts = remote.stream({"items": []}, stream_mode=["values", "custom"])
    assert [mode for mode, _ in parts] == ["values", "values", "custom", "values"]


def test_subgraphs_have_their_namespace(server):
    remote = RemoteGraph("nested", url=server.url)
    parts = list(remote.stream({"items": []}, stream_mode="updates", subgraphs=True))
    assert [ns[0].partition(":")[0] if ns else "" for ns, _ in parts] == ["inner", "inner", ""]


def test_failures_are_told(remote):
    with pytest.raises(RemoteException, match="ValueError: boom"):
        remote.invoke({"items": [], "fail": "boom"})
    with pytest.raises(RemoteException, match="404"):
        remote.get_state(config())
    with pytest.raises(InvalidConfigError, match="no thread"):
        remote.get_state({})
    with pytest.raises(InvalidConfigError, match="server"):
        RemoteGraph("line")
    with pytest.raises(TransientStorageError, match="reached"):
        RemoteGraph("line", url="http://127.0.0.1:1").invoke({"items": []})


class State(TypedDict):
    items: Annotated[list, operator.add]


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_it_is_a_node_of_a_graph(server, colour):
    remote = RemoteGraph("line", url=server.url)

    def call(graph, value, config):
        return graph.invoke(value, config) if colour == "sync" else asyncio.run(graph.ainvoke(value, config))

    graph = StateGraph(State).add_node("remote", remote).add_edge(START, "remote").compile(checkpointer=InMemorySaver())
    where = config()
    done = call(graph, {"items": ["outer"]}, where)
    assert done["items"] == ["outer", "outer", "first", "second"]
    failing = StateGraph(State).add_node("remote", RemoteGraph("nowhere", url=server.url)).add_edge(START, "remote")
    with pytest.raises(RemoteException, match="no assistant 'nowhere'"):
        call(failing.compile(), {"items": []}, where)


def test_a_question_of_a_node_is_the_outer_graphs(server):
    class Asking(State, total=False):
        ask: list

    graph = StateGraph(Asking).add_node("remote", RemoteGraph("line", url=server.url)).add_edge(START, "remote")
    compiled = graph.compile(checkpointer=InMemorySaver())
    where = config()
    asked = compiled.invoke({"items": [], "ask": ["?"]}, where)
    assert [i.value for i in asked["__interrupt__"]] == ["?"]
    assert compiled.get_state(where).next == ("remote",)
