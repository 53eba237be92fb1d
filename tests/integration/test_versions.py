"""Threads of one version of a graph on the code of another."""

import asyncio
import operator
from typing import Annotated, Any

import pytest
from typing_extensions import TypedDict

from perdure.checkpoint.memory import InMemorySaver
from perdure.errors import GraphVersionError, InvalidConfigError
from perdure.graph import START, StateGraph
from perdure.graph.pinned import PinnedGraph
from perdure.types import Command, Migration, interrupt

THREAD: Any = {"configurable": {"thread_id": "t"}}


class Old(TypedDict, total=False):
    name: str
    count: str
    items: Annotated[list, operator.add]


class New(TypedDict, total=False):
    title: str
    count: int
    items: Annotated[set, operator.or_]


@pytest.fixture(params=["sync", "async"])
def call(request):
    """Call a graph's method in either colour."""
    if request.param == "sync":
        return lambda graph, name, *args, **kwargs: getattr(graph, name)(*args, **kwargs)
    return lambda graph, name, *args, **kwargs: asyncio.run(getattr(graph, "a" + name)(*args, **kwargs))


def old(saver: Any, **options: Any) -> Any:
    builder = StateGraph(Old)
    builder.add_node("fill", lambda state: {"name": "n", "count": "3", "items": ["a", "b"]})
    builder.add_node("ask", lambda state: {"items": [interrupt("?")]})
    builder.add_edge(START, "fill").add_edge("fill", "ask")
    return builder.compile(checkpointer=saver, **options)


def new(saver: Any, ran: list[Any], **options: Any) -> Any:
    def question(state: New) -> New:
        ran.append(dict(state))
        return {"items": {interrupt("?")}, "count": state.get("count", 0) + 1}

    builder = StateGraph(New).add_node("prepare", lambda state: {"count": 0}).add_node("question", question)
    builder.add_edge(START, "prepare").add_edge("prepare", "question")
    return builder.compile(checkpointer=saver, **options)


def modern(state: dict[str, Any]) -> dict[str, Any]:
    changed = {"items": set(state.get("items", ()))}
    return {**state, **changed, **({"count": int(state["count"])} if "count" in state else {})}


TO_2 = Migration("1", "2", state=modern, nodes={"fill": "prepare", "ask": "question"}, keys={"name": "title"})


def test_an_old_thread_goes_on_with_new_code(saver, call):
    call(old(saver, version="1"), "invoke", {}, THREAD)
    ran: list[Any] = []
    graph = new(saver, ran, version="2", migrations=[TO_2])
    state = call(graph, "get_state", THREAD)
    assert state.next == ("question",)
    assert state.values == {"title": "n", "count": 3, "items": {"a", "b"}}
    assert state.metadata["graph_version"] == "1"  # what is stored stays until the next checkpoint
    found = call(graph, "invoke", Command(resume="c"), THREAD)
    assert found == {"title": "n", "count": 4, "items": {"a", "b", "c"}}
    assert ran == [{"title": "n", "count": 3, "items": {"a", "b"}}]
    again = call(new(saver, ran, version="2"), "get_state", THREAD)  # no migration is needed any more
    assert (again.values, again.metadata["graph_version"]) == (found, "2")
    assert len(again.metadata["graph_fingerprint"]) == 16


def test_history_replay_and_updates_of_old_checkpoints(saver, call):
    call(old(saver, version="1"), "invoke", {}, THREAD)
    ran: list[Any] = []
    graph = new(saver, ran, version="2", migrations=[TO_2])
    states = list(graph.get_state_history(THREAD))
    assert [state.next for state in states] == [("question",), ("prepare",), ("__start__",)]
    assert states[0].values["title"] == "n"
    replayed = call(graph, "invoke", None, states[0].config)
    assert replayed["__interrupt__"][0].value == "?"
    call(graph, "update_state", THREAD, {"title": "by hand"}, as_node="prepare")
    assert call(graph, "get_state", THREAD).values == {"title": "by hand", "count": 3, "items": {"a", "b"}}


def test_migrations_follow_each_other(saver, call):
    call(old(saver, version="1"), "invoke", {}, THREAD)
    steps = [
        Migration("1.5", "2", keys={"label": "title"}, nodes={"query": "question"}),
        Migration("1", "1.5", state=modern, keys={"name": "label"}, nodes={"fill": "prepare", "ask": "query"}),
    ]
    graph = new(saver, [], version="2", migrations=steps)
    assert call(graph, "invoke", Command(resume="c"), THREAD)["title"] == "n"


def test_without_a_way_the_thread_is_refused_and_nothing_is_lost(saver, call):
    first = old(saver, version="1")
    call(first, "invoke", {}, THREAD)
    for options in ({"version": "2"}, {"version": "2", "migrations": [TO_2._replace(after="3")]}):
        with pytest.raises(GraphVersionError, match="made by version '1' of the graph, and this is '2'; no migration"):
            call(new(saver, [], **options), "invoke", Command(resume="c"), THREAD)
    refusing = new(saver, [], version="2", migrations=[TO_2], other_versions="refuse")
    with pytest.raises(GraphVersionError, match="other versions are refused"):
        call(refusing, "invoke", None, THREAD)
    assert call(refusing, "resume_all") == []
    assert call(first, "invoke", Command(resume="c"), THREAD)["items"] == ["a", "b", "c"]


def test_a_new_thread_on_old_code_is_refused(saver, call):
    call(new(saver, [], version="2"), "invoke", {"title": "x"}, THREAD)
    with pytest.raises(GraphVersionError, match="made by version '2'"):
        call(old(saver, version="1"), "invoke", Command(resume="c"), THREAD)


def test_a_node_that_is_gone(saver, call):
    call(old(saver, version="1"), "invoke", {}, THREAD)
    lacking = TO_2._replace(nodes={"fill": "prepare"})
    with pytest.raises(GraphVersionError, match="stands before node 'ask', which version '2'"):
        call(new(saver, [], version="2", migrations=[lacking]), "invoke", None, THREAD)
    dropping = TO_2._replace(nodes={"fill": "prepare", "ask": None})
    graph = new(saver, [], version="2", migrations=[dropping])
    assert call(graph, "get_state", THREAD).next == ()
    call(graph, "update_state", THREAD, {"title": "goes on"}, as_node="prepare")
    assert call(graph, "get_state", THREAD).next == ("question",)


def test_a_joining_edge_keeps_what_has_arrived(saver, call):
    def build(names: tuple[str, str, str], **options: Any) -> Any:
        a, b, end = names
        builder = StateGraph(Old).add_node(a, lambda state: {"items": ["a"]})
        builder.add_node("between", lambda state: None).add_node(b, lambda state: {"items": ["b"]})
        builder.add_node(end, lambda state: {"items": ["end"]})
        builder.add_edge(START, a).add_edge(START, "between").add_edge("between", b).add_edge([a, b], end)
        return builder.compile(checkpointer=saver, **options)

    first = build(("a", "b", "end"), version="1", interrupt_before=["b"])
    call(first, "invoke", {}, THREAD)
    graph = build(
        ("a2", "b2", "end2"),
        version="2",
        migrations=[Migration("1", "2", nodes={n: n + "2" for n in ("a", "b", "end")})],
    )
    assert call(graph, "get_state", THREAD).next == ("b2",)
    assert call(graph, "invoke", None, THREAD)["items"] == ["a", "b", "end"]


def test_threads_from_before_there_were_versions(saver, call):
    call(old(saver), "invoke", {}, THREAD)
    assert "graph_version" not in old(saver).get_state(THREAD).metadata
    assert call(old(saver, version="1"), "get_state", THREAD).next == ("ask",)
    graph = new(saver, [], version="2", migrations=[TO_2._replace(before="")])
    assert call(graph, "invoke", Command(resume="c"), THREAD)["title"] == "n"


def test_pinned_threads_stay_with_their_version(saver, call):
    first = old(saver, version="1")
    call(first, "invoke", {}, THREAD)
    ran: list[Any] = []
    graph = PinnedGraph(first, new(saver, ran, version="2"))
    other: Any = {"configurable": {"thread_id": "other"}}
    call(graph, "invoke", {"title": "x"}, other)
    assert call(graph, "get_state", THREAD).next == ("ask",)
    assert call(graph, "get_state", other).next == ("question",)
    assert call(graph, "invoke", Command(resume="c"), THREAD)["items"] == ["a", "b", "c"]
    assert call(graph, "invoke", Command(resume="d"), other)["items"] == {"d"}
    assert call(graph, "resume_all") == []
    with pytest.raises(GraphVersionError, match="made by version '1'"):
        call(PinnedGraph(new(saver, ran, version="2")), "invoke", None, THREAD)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(InvalidConfigError, match="a graph's version is a text"):
        old(InMemorySaver(), migrations=[TO_2])
    with pytest.raises(InvalidConfigError, match="two migrations begin at version '1'"):
        old(InMemorySaver(), version="2", migrations=[TO_2, TO_2])
    with pytest.raises(InvalidConfigError, match="other_versions must be one of"):
        old(InMemorySaver(), version="2", other_versions="newest")
    with pytest.raises(InvalidConfigError, match="has no version"):
        PinnedGraph(old(InMemorySaver()))
    wrong: Any = Migration("1", "2", state=lambda state: None)
    saver = InMemorySaver()
    old(saver, version="1").invoke({}, THREAD)
    with pytest.raises(GraphVersionError, match="returned NoneType"):
        old(saver, version="2", migrations=[wrong]).invoke(None, THREAD)
    failing = Migration("1", "2", state=lambda state: state["missing"])
    graph = old(saver, version="2", migrations=[failing])
    with pytest.raises(GraphVersionError, match=r"the migration from '1' to '2' failed: KeyError\('missing'\)"):
        graph.invoke(None, THREAD)
    assert graph.get_state(THREAD).values["name"] == "n"  # shown as it is
    unknown = Migration("1", "2", keys={"name": "nowhere"})
    with pytest.raises(GraphVersionError, match="the key 'nowhere', which version '2'"):
        old(saver, version="2", migrations=[unknown]).invoke(None, THREAD)


# -- graphs that are called by others have versions of their own


class Around(TypedDict, total=False):
    items: Annotated[list, operator.add]
    total: int


class InnerOld(TypedDict, total=False):
    items: Annotated[list, operator.add]
    count: str


class InnerNew(TypedDict, total=False):
    items: Annotated[list, operator.add]
    number: int


def inner_old(**options: Any) -> Any:
    builder = StateGraph(InnerOld).add_node("fill", lambda state: {"count": "3", "items": ["fill 1"]})
    builder.add_node("ask", lambda state: {"items": [interrupt("?")]})
    return builder.add_edge(START, "fill").add_edge("fill", "ask").compile(version="1", **options)


def inner_new(asking: str = "ask", **options: Any) -> Any:
    builder = StateGraph(InnerNew).add_node("fill", lambda state: {"number": 0, "items": ["fill 2"]})
    builder.add_node(asking, lambda state: {"items": [interrupt("new?"), state.get("number")]})
    return builder.add_edge(START, "fill").add_edge("fill", asking).compile(version="2", **options)


def numbered(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, **({"number": int(state["number"])} if "number" in state else {})}


INNER = Migration("1", "2", state=numbered, keys={"count": "number"})


def around(inner: Any, saver: Any, name: str = "inner", **options: Any) -> Any:
    builder = StateGraph(Around).add_node("before", lambda state: {"items": ["before"]}).add_node(name, inner)
    builder.add_edge(START, "before").add_edge("before", name)
    return builder.compile(checkpointer=saver, **options)


@pytest.mark.parametrize("memory", [None, True])
def test_a_graph_within_is_migrated_where_it_stands(saver, call, memory):
    """The graph around has no version, and goes on as it is."""
    call(around(inner_old(checkpointer=memory), saver), "invoke", {"items": ["in"]}, THREAD)
    graph = around(inner_new(migrations=[INNER], checkpointer=memory), saver)
    [task] = call(graph, "get_state", THREAD, subgraphs=True).tasks
    assert (task.state.next, task.state.values["number"]) == (("ask",), 3)
    assert task.state.metadata["graph_version"] == "1"
    found = call(graph, "invoke", Command(resume="yes"), THREAD)
    assert found["items"][-3:] == ["fill 1", "yes", 3]  # `fill` wasn't run again
    assert "graph_version" not in call(graph, "get_state", THREAD).metadata


def test_a_graph_with_a_memory_is_migrated_at_the_next_call(saver, call):
    call(around(inner_old(checkpointer=True), saver), "invoke", {"items": ["in"]}, THREAD)
    call(around(inner_old(checkpointer=True), saver), "invoke", Command(resume="yes"), THREAD)
    graph = around(inner_new(migrations=[INNER], checkpointer=True), saver)
    call(graph, "invoke", {"items": ["again"]}, THREAD)
    [task] = call(graph, "get_state", THREAD, subgraphs=True).tasks
    assert task.state.metadata["graph_version"] == "2"
    assert "yes" in task.state.values["items"]  # of the first call, by the old version
    assert call(graph, "invoke", Command(resume="!"), THREAD)["items"][-1] == 0


def test_both_have_versions(saver, call):
    call(around(inner_old(), saver, version="a"), "invoke", {"items": ["in"]}, THREAD)
    outer = Migration("a", "b", state=lambda state: {**state, "total": 1})
    graph = around(inner_new(migrations=[INNER]), saver, version="b", migrations=[outer])
    found = call(graph, "invoke", Command(resume="yes"), THREAD)
    assert found["items"][-3:] == ["fill 1", "yes", 3]
    assert found["total"] == 1
    assert call(graph, "get_state", THREAD).metadata["graph_version"] == "b"


def test_a_question_of_a_renamed_node_within_is_asked_again(saver, call):
    call(around(inner_old(), saver), "invoke", {"items": ["in"]}, THREAD)
    renamed = INNER._replace(nodes={"ask": "question"})
    graph = around(inner_new("question", migrations=[renamed]), saver)
    asked = call(graph, "invoke", Command(resume="to the old question"), THREAD)
    assert [one.value for one in asked["__interrupt__"]] == ["new?"]
    assert call(graph, "invoke", Command(resume="yes"), THREAD)["items"][-3:] == ["fill 1", "yes", 3]


def test_a_graph_under_another_name_begins_anew(saver, call):
    """Its place is named after the node: what it had stored is under the old name."""
    call(around(inner_old(), saver, version="a"), "invoke", {"items": ["in"]}, THREAD)
    outer = Migration("a", "b", nodes={"inner": "renamed"})
    graph = around(inner_new(migrations=[INNER]), saver, "renamed", version="b", migrations=[outer])
    assert call(graph, "get_state", THREAD).next == ("renamed",)
    assert call(graph, "invoke", Command(resume="yes"), THREAD)["items"][-3:] == ["fill 2", "yes", 0]


def test_a_graph_within_that_no_migration_leads_to_is_refused_and_nothing_is_lost(saver, call):
    call(around(inner_old(), saver), "invoke", {"items": ["in"]}, THREAD)
    with pytest.raises(GraphVersionError, match="made by version '1' of the graph, and this is '2'; no migration"):
        call(around(inner_new(), saver), "invoke", Command(resume="yes"), THREAD)
    assert call(around(inner_old(), saver), "invoke", Command(resume="yes"), THREAD)["items"][-2:] == ["fill 1", "yes"]
