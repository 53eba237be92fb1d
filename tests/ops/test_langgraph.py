"""Threads of LangGraph's own databases move to perdure, go on there, and move back."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC
from importlib import import_module
from typing import Annotated

import pytest
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START
from langgraph.graph import StateGraph as TheirGraph
from langgraph.store.postgres import PostgresStore
from langgraph.store.sqlite import SqliteStore
from langgraph.types import Command as TheirCommand
from langgraph.types import Send as TheirSend
from langgraph.types import interrupt as their_interrupt
from typing_extensions import TypedDict

import perdure.checkpoint.sqlite
import perdure.graph
import perdure.types
from perdure.checkpoint.memory import InMemorySaver
from perdure.checkpoint.registry import open_saver
from perdure.errors import SerializationError, UnknownTypeError, UsageError
from perdure.interop.langgraph_databases import open_database
from perdure.interop.langgraph_items import open_items
from perdure.ops import migrate
from perdure.store.registry import open_store


def join(old, new):
    return [*(old or []), *new]


def join_all(old, updates):
    return [*(old or []), *(item for update in updates for item in update)]


class State(TypedDict):
    items: Annotated[list, join]
    n: int


def build(graph_class, send, interrupt, saver=None):
    """Build the same graph with either package."""

    def ask(state):
        return {"items": [interrupt({"question": state["n"]})], "n": state["n"] + 1}

    builder = graph_class(State)
    builder.add_node("say", lambda state: {"items": [("said", state["n"])], "n": state["n"] + 1})
    builder.add_node("each", lambda state: {"items": [state["one"]]})
    builder.add_node("ask", ask)
    builder.add_edge(START, "say")
    builder.add_conditional_edges("say", lambda state: [send("each", {"one": i}) for i in (1, 2)], ["each"])
    builder.add_edge("each", "ask")
    return builder.compile(checkpointer=saver)


def theirs(saver):
    return build(TheirGraph, TheirSend, their_interrupt, saver)


def ours(saver):
    return build(perdure.graph.StateGraph, perdure.types.Send, perdure.types.interrupt, saver)


THREAD = {"configurable": {"thread_id": "t"}}


def go_on(graph, command):
    """Answer the question that a thread waits with, by its id."""
    found = graph.get_state(THREAD)
    assert found.next == ("ask",)
    [question] = found.interrupts
    assert question.value["question"] > 1
    return graph.invoke(command(resume={question.id: "no"}), THREAD)["items"][-1]


@pytest.fixture(params=["sqlite", "postgres"])
def their_database(request, tmp_path):
    """The URL of a database of LangGraph's with a thread that waits for an answer, and its final values."""
    if request.param == "sqlite":
        url, opening = f"sqlite:///{tmp_path}/theirs.db", SqliteSaver.from_conn_string(f"{tmp_path}/theirs.db")
    else:
        url = request.getfixturevalue("database")
        opening = PostgresSaver.from_conn_string(url)
    with opening as saver:
        saver.setup()
        graph = theirs(saver)
        graph.invoke({"items": ["first"], "n": 1}, THREAD)
        graph.invoke(TheirCommand(resume="yes"), THREAD)
        graph.invoke({"items": ["second"], "n": 5}, THREAD)
        yield url


@pytest.mark.parametrize("back", ["sqlite", "postgres"])
def test_there_and_back(their_database, tmp_path, back, request):
    mine = f"sqlite:///{tmp_path}/mine.db"
    done = migrate(their_database, mine, verify=True)
    assert done.differences == []
    assert done.copied.checkpoints == 9
    copied = InMemorySaver()
    migrate(mine, copied)
    assert go_on(ours(copied), perdure.types.Command) == "no"
    assert ours(copied).get_state(THREAD).next == ()

    # Back again: their graph goes on.
    again = tmp_path / "again.db"
    url = f"langgraph+sqlite:///{again}"
    if back == "postgres":
        url = "langgraph+" + request.getfixturevalue("database") if "sqlite" in their_database else None
    if url is None:
        return
    assert migrate(mine, url, verify=True).differences == []
    opening = SqliteSaver.from_conn_string(str(again))
    if back == "postgres":
        opening = PostgresSaver.from_conn_string(url.removeprefix("langgraph+"))
    with opening as saver:
        graph = theirs(saver)
        assert len(list(graph.get_state_history(THREAD))) == 9
        assert go_on(graph, TheirCommand) == "no"


def test_within_one_database(database):
    with PostgresSaver.from_conn_string(database) as saver:
        saver.setup()
        theirs(saver).invoke({"items": ["first"], "n": 1}, THREAD)
    assert migrate(f"langgraph+{database}", database, verify=True).differences == []
    with open_saver(database) as saver:
        assert go_on(ours(saver), perdure.types.Command) == "no"


PACKAGES = ("langgraph", "perdure")


def amid(package, saver, ran):
    """Build a graph that stops in the middle of a superstep: in a subgraph, beside a node that is done, and sends."""
    graph, types = (import_module(f"{package}.{name}") for name in ("graph", "types"))

    def deep(state):
        return {"items": [types.interrupt("deep"), types.interrupt("deeper")]}

    def done(name):
        def node(state):
            ran.append(name)
            return {"items": [name]}

        return node

    def each(state):
        return {"items": [types.interrupt("each")] if state["n"] else done("each")(state)["items"]}

    inner = graph.StateGraph(State)
    inner.add_node("before", done("before"))
    inner.add_node("deep", deep)
    inner.add_edge(graph.START, "before")
    inner.add_edge("before", "deep")
    builder = graph.StateGraph(State)
    for name, node in (("one", done("one")), ("two", done("two")), ("sub", inner.compile()), ("each", each)):
        builder.add_node(name, node)
    builder.add_node("beside", done("beside"))
    builder.add_edge(graph.START, "one")
    builder.add_edge(graph.START, "two")
    builder.add_edge(["one", "two"], "sub")
    builder.add_edge("one", "beside")
    builder.add_conditional_edges("two", lambda _: [types.Send("each", {"n": n}) for n in (0, 1)], ["each"])
    return builder.compile(checkpointer=saver)


def flow(package, saver, ran):
    """Build a workflow whose tasks are done, but for one that asks."""
    func, types = (import_module(f"{package}.{name}") for name in ("func", "types"))

    @func.task
    def work(n):
        ran.append(n)
        return n + 1

    @func.task
    def ask(text):
        return types.interrupt(text)

    @func.entrypoint(checkpointer=saver)
    def whole(n):
        first = [work(n), work(n + 10)]
        return [f.result() for f in first] + [ask("sure?").result(), work(n + 20).result()]

    return whole


@pytest.mark.parametrize("source", PACKAGES)
@pytest.mark.parametrize(("build", "given"), [(amid, {"items": [], "n": 0}), (flow, 1)])
def test_a_run_goes_on_amid_a_superstep(tmp_path, source, build, given):
    """Nothing that is done is done again, in whichever direction a thread moves."""
    [target] = set(PACKAGES) - {source}
    urls = {"langgraph": f"langgraph+sqlite:///{tmp_path}/theirs.db", "perdure": f"sqlite:///{tmp_path}/mine.db"}
    savers = {"langgraph": SqliteSaver, "perdure": perdure.checkpoint.sqlite.SqliteSaver}
    paths = {"langgraph": f"{tmp_path}/theirs.db", "perdure": f"{tmp_path}/mine.db"}
    ran, again = [], []
    with savers[source].from_conn_string(paths[source]) as saver:
        graph = build(source, saver, ran)
        graph.invoke(given, THREAD)
        asked = graph.get_state(THREAD)
        assert asked.interrupts
    assert migrate(urls[source], urls[target], verify=True).differences == []
    with savers[target].from_conn_string(paths[target]) as saver:
        graph = build(target, saver, again)
        found = graph.get_state(THREAD)
        assert [t.id for t in found.tasks] == [t.id for t in asked.tasks]
        assert {i.id: i.value for i in found.interrupts} == {i.id: i.value for i in asked.interrupts}
        command = import_module(f"{target}.types").Command
        answers = {i.id: f"to {i.value}" for i in found.interrupts}
        done = graph.invoke(command(resume=answers), THREAD)
        while asked := graph.get_state(THREAD).interrupts:
            done = graph.invoke(command(resume={i.id: f"to {i.value}" for i in asked}), THREAD)
    if build is flow:
        assert (done, sorted(ran), again) == ([2, 12, "to sure?", 22], [1, 11], [21])
    else:
        assert sorted(ran) == ["before", "beside", "each", "one", "two"]
        assert again == []
        assert {"to deep", "to deeper", "to each", "each", "beside"} <= set(done["items"])


@pytest.mark.parametrize("first", PACKAGES)
def test_a_thread_goes_from_hand_to_hand(tmp_path, first):
    """Each answers what the other has asked, and asks anew."""
    savers = {"langgraph": SqliteSaver, "perdure": perdure.checkpoint.sqlite.SqliteSaver}
    graphs = {"langgraph": theirs, "perdure": ours}
    commands = {"langgraph": TheirCommand, "perdure": perdure.types.Command}
    held = None
    for turn in range(5):
        package = PACKAGES[(PACKAGES.index(first) + turn) % 2]
        url = f"{'langgraph+' if package == 'langgraph' else ''}sqlite:///{tmp_path}/{turn}.db"
        if held is not None:
            found = migrate(held, url, verify=True).differences
            # Its serializer makes lists of tuples, and the node `say` returns one.
            assert {one.what for one in found} <= {"channel 'items'", "pending writes"}
        held = url
        with savers[package].from_conn_string(f"{tmp_path}/{turn}.db") as saver:
            graph = graphs[package](saver)
            if turn:
                [question] = graph.get_state(THREAD).interrupts
                done = graph.invoke(commands[package](resume={question.id: f"answer {turn}"}), THREAD)
                assert done["items"][-1] == f"answer {turn}"
            graph.invoke({"items": [f"turn {turn}"], "n": turn}, THREAD)
            items = graph.get_state(THREAD).values["items"]
            assert [one for one in items if str(one).startswith(("turn", "answer"))] == [
                one for n in range(turn + 1) for one in ([f"answer {n}"] if n else []) + [f"turn {n}"]
            ]


def test_branches_that_count_alike_keep_their_values(their_database, tmp_path):
    """Its saver on Postgres keeps a thread's values by channel and version."""
    forked = {"configurable": {"thread_id": "forked"}}
    mine, ran = InMemorySaver(), []
    graph = amid("perdure", mine, ran)
    graph.invoke({"items": ["in"], "n": 0}, forked)
    older = list(graph.get_state_history(forked))[-1]
    for branch in ("left", "right"):
        made = graph.update_state(older.config, {"items": [f"{branch} " * 20]}, as_node="__start__")
        graph.invoke(None, made)
    url = f"langgraph+{their_database}"
    assert migrate(mine, url, verify=True).differences == []
    back = InMemorySaver()
    assert migrate(url, back, verify=True).differences == []
    histories = [
        [one.values.get("items") for one in amid("perdure", saver, ran).get_state_history(forked)]
        for saver in (mine, back)
    ]
    assert histories[0] == histories[1]
    assert {items[0].split()[0] for items in histories[0] if items} >= {"left", "right"}


class Delta(TypedDict):
    items: Annotated[list, DeltaChannel(join_all, list, snapshot_frequency=3)]
    n: int


def delta_graph(saver):
    builder = TheirGraph(Delta)
    builder.add_node("add", lambda state: {"items": [len(state["items"])], "n": state.get("n", 0) + 1})
    builder.add_edge(START, "add")
    builder.add_conditional_edges("add", lambda state: "add" if state["n"] % 10 else "__end__")
    return builder.compile(checkpointer=saver)


def test_delta_channels(tmp_path):
    path = str(tmp_path / "theirs.db")
    with SqliteSaver.from_conn_string(path) as saver:
        graph = delta_graph(saver)
        graph.invoke({"items": ["first"]}, THREAD)
        wanted = {s.config["configurable"]["checkpoint_id"]: s.values for s in graph.get_state_history(THREAD)}
    with pytest.raises(UsageError, match="'items' is a DeltaChannel"):
        migrate(path, InMemorySaver())
    target = InMemorySaver()
    with open_database(path, graph.channels) as source:
        assert migrate(source, target, verify=True).differences == []
    for one in target.list(THREAD):
        values = {k: v for k, v in one.checkpoint["channel_values"].items() if k in ("items", "n")}
        assert {"items": [], **values} == {"items": [], **wanted[one.checkpoint["id"]]}
    # Back again, where its channels are stored whole at first.
    migrate(target, f"langgraph+sqlite:///{tmp_path}/again.db")
    with SqliteSaver.from_conn_string(f"{tmp_path}/again.db") as saver:
        again = delta_graph(saver)
        assert again.get_state(THREAD).values == wanted[max(wanted)]
        assert len(again.invoke({"items": ["more"]}, THREAD)["items"]) == 22


@dataclass
class Secret:
    text: str


def test_types_that_are_not_registered_are_named(tmp_path):
    path = str(tmp_path / "theirs.db")
    with SqliteSaver.from_conn_string(path) as saver:
        builder = TheirGraph(State).add_node("say", lambda state: {"items": [Secret("x")]}).add_edge(START, "say")
        builder.compile(checkpointer=saver).invoke({"items": [], "n": 0}, THREAD)
    with pytest.raises(UnknownTypeError, match=r"of type .*:Secret, which isn't registered"):
        migrate(path, InMemorySaver())
    from perdure.checkpoint.serde import register

    register(Secret)
    target = InMemorySaver()
    migrate(path, target)
    assert target.get_tuple(THREAD).checkpoint["channel_values"]["items"] == [Secret("x")]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_sends_of_old_checkpoints_move_to_their_channel(tmp_path, version):
    path = str(tmp_path / "theirs.db")
    with SqliteSaver.from_conn_string(path) as saver:
        theirs(saver).invoke({"items": ["first"], "n": 1}, THREAD)
        found = saver.get_tuple(THREAD)
        old = {key: value for key, value in found.checkpoint.items() if key != "updated_channels"}
        old |= {"v": version, "pending_sends": [TheirSend("each", {"one": 5})]}
        place = {"configurable": {"thread_id": "old", "checkpoint_ns": ""}}
        saver.put(place, old, {"source": "loop", "step": 1, "parents": {}}, old["channel_versions"])
        there = theirs(saver).get_state(place)
    target = InMemorySaver()
    assert migrate(path, target, verify=True).differences == []
    here = ours(target).get_state(place)
    assert (here.next, here.values["n"]) == (there.next, there.values["n"]) == (("each", "ask"), 2)


def test_a_perdure_database_is_not_taken_for_theirs(tmp_path):
    path = str(tmp_path / "both.db")
    with SqliteSaver.from_conn_string(path) as saver:
        saver.setup()
    with open_saver(path) as saver:
        ours(saver).invoke({"items": ["first"], "n": 1}, THREAD)
    target = InMemorySaver()
    migrate(path, target)
    assert list(target.threads()) == ["t"]


def test_their_database_stays_as_it_is(tmp_path):
    path = str(tmp_path / "theirs.db")
    with SqliteSaver.from_conn_string(path) as saver:
        theirs(saver).invoke({"items": ["first"], "n": 1}, THREAD)
    migrate(path, InMemorySaver())
    with closing(sqlite3.connect(path)) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert names == {"checkpoints", "writes"}


def test_the_command_takes_types_and_channels_from_the_graph(tmp_path, monkeypatch, capsys):
    (tmp_path / "theirflow.py").write_text(FLOW)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    import theirflow

    with SqliteSaver.from_conn_string("theirs.db") as saver:
        theirflow.builder.compile(checkpointer=saver).invoke({"notes": [theirflow.Note("a")]}, THREAD)
    from perdure.cli import app

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["perdure", "migrate", "theirs.db", "mine.db", *arguments])
        return app.start(), capsys.readouterr()

    code, printed = call()
    assert code == 1
    assert "--graph" in printed.err
    code, printed = call("--graph", "theirflow.py:builder", "--verify")
    assert (code, printed.err) == (0, "")
    with open_saver("mine.db") as saver:
        notes = saver.get_tuple(THREAD).checkpoint["channel_values"]["notes"]
    assert [(type(note).__name__, note.text) for note in notes] == [("Note", "a"), ("Note", "b")]


FLOW = """
from dataclasses import dataclass
from typing import Annotated, TypedDict
from langgraph.channels import DeltaChannel
from langgraph.graph import START, StateGraph

@dataclass
class Note:
    text: str

class State(TypedDict):
    notes: Annotated[list[Note], DeltaChannel(lambda old, new: [*old, *(n for one in new for n in one)], list)]

builder = StateGraph(State).add_node("add", lambda state: {"notes": [Note("b")]}).add_edge(START, "add")
"""


@contextmanager
def their_store(url):
    """Open the store in a database of LangGraph's."""
    if url.startswith("sqlite"):
        opening = SqliteStore.from_conn_string(url.removeprefix("sqlite:///"), ttl={"refresh_on_read": False})
    else:
        opening = PostgresStore.from_conn_string(url, ttl={"refresh_on_read": False})
    with opening as store:
        store.setup()
        yield store


def test_the_items_of_its_store_move_here_and_back(their_database, tmp_path):
    url = their_database
    with their_store(url) as store:
        for n in range(250):
            store.put(("users", f"u{n % 3}"), f"key {n}", {"n": n, "tags": ["a", None]}, ttl=None if n % 2 else 90)
        store.delete(("users", "u0"), "key 3")
        before = {(tuple(one.namespace), one.key): one for one in store.search((), limit=1000)}
    here, back = f"sqlite:///{tmp_path}/here.db", f"sqlite:///{tmp_path}/back.db"
    assert migrate(url, here).copied.items == 249
    assert migrate(url, here).copied.items == 0
    keys = list(before)
    with open_store(here) as store:
        lives = store.lives(keys)
        for key, life in zip(keys, lives, strict=True):
            found = store.get(*key, refresh_ttl=False)
            assert (found.value, found.created_at) == (before[key].value, before[key].created_at.replace(tzinfo=UTC))
            assert (life.ttl, life.expires_at is None) == ((None, True) if found.value["n"] % 2 else (90, False))
            assert life.expires_at is None or abs(life.expires_at - time.time() - 90 * 60) < 60
    assert migrate(here, f"langgraph+{back}", items=True).copied.items == 249
    with their_store(back) as store:
        again = {(tuple(one.namespace), one.key): one for one in store.search((), limit=1000)}
        assert {key: one.value for key, one in again.items()} == {key: one.value for key, one in before.items()}
    with open_items(back) as store:
        assert store.lives(keys) == lives


def test_an_item_that_its_store_cannot_hold_is_named(their_database, tmp_path):
    url = their_database
    here = f"sqlite:///{tmp_path}/here.db"
    for value in [{"n": {1, 2}}, *([{"n": "\0"}] if url.startswith("postgres") else [])]:
        with open_store(here) as store:
            store.put(("a",), "the key", value)
        with pytest.raises(SerializationError, match="'the key'"):
            migrate(here, f"langgraph+{url}")
