"""Graphs in graphs: as nodes and called from nodes, in every persistence mode; `Command` to the parent."""

import operator
from typing import Annotated

from tests.differential.actions import History, Invoke, State, Stored, Stream, SubgraphState, Update
from tests.differential.cases.building import START_INPUT, Items, adder, chain
from tests.differential.cases.interrupts import asker, resume
from tests.differential.scenario import case
from typing_extensions import TypedDict

ALL = ("values", "updates", "checkpoints", "tasks", "debug")


def parent_of(p, inner, **options):
    builder = p.StateGraph(Items)
    builder.add_node("first", adder(p, "first"))
    builder.add_node("inner", inner)
    builder.add_node("last", adder(p, "last"))
    for one, other in ((p.START, "first"), ("first", "inner"), ("inner", "last")):
        builder.add_edge(one, other)
    return builder.compile(checkpointer=p.saver(), **options)


@case(
    Invoke(START_INPUT),
    Stored(),
    Stream(START_INPUT, ALL, options={"subgraphs": True}),
    Stream(START_INPUT, ["values", "updates"]),
    Stream(START_INPUT, "updates", options={"subgraphs": True, "version": "v2"}),
    History(),
)
def subgraph_as_node(p):
    return parent_of(p, chain(p, "x", "y").compile())


@case(Invoke(START_INPUT), Invoke(START_INPUT), State(subgraphs=True), Stored())
def subgraph_with_a_memory_of_its_own(p):
    return parent_of(p, chain(p, "x", "y").compile(checkpointer=True))


@case(Invoke(START_INPUT), Stored(), Invoke(START_INPUT), Stored())
def subgraph_without_memory(p):
    return parent_of(p, chain(p, "x", "y").compile(checkpointer=False))


@case(Invoke(START_INPUT), State(subgraphs=True), Invoke(resume("ok")), State(), Stored(), differs=("answers-by-id",))
def subgraph_with_memory_asks(p):
    inner = p.StateGraph(Items)
    inner.add_node("x", adder(p, "x"))
    inner.add_node("ask", asker(p, "ask", "?"))
    inner.add_edge(p.START, "x")
    inner.add_edge("x", "ask")
    return parent_of(p, inner.compile(checkpointer=True))


@case(Invoke(START_INPUT), State(), Invoke(resume("ok")), State(), Stored(), differs=("answers-by-id",))
def subgraph_without_memory_asks(p):
    inner = p.StateGraph(Items)
    inner.add_node("x", adder(p, "x"))
    inner.add_node("ask", asker(p, "ask", "?"))
    inner.add_edge(p.START, "x")
    inner.add_edge("x", "ask")
    return parent_of(p, inner.compile(checkpointer=False))


@case(Invoke(START_INPUT), State(subgraphs=True), SubgraphState(), Invoke(None), State(subgraphs=True), Stored())
def subgraph_stopped_before_a_node(p):
    return parent_of(p, chain(p, "x", "y").compile(interrupt_before=["y"]))


@case(
    Invoke(START_INPUT),
    Invoke(None),
    State(subgraphs=True),
    Invoke(None),
    State(),
    Stored(),
)
def subgraph_stopped_around_itself(p):
    return parent_of(p, chain(p, "x").compile(), interrupt_before=["inner"], interrupt_after=["inner"])


@case(Invoke({"outer": ["in"]}), Stored(), Stream({"outer": ["in"]}, "values", options={"subgraphs": True}))
def subgraph_with_another_schema_called_from_a_node(p):
    class Outer(TypedDict):
        outer: Annotated[list, operator.add]

    inner = chain(p, "x", "y").compile()

    def call(state):
        p.note("call")
        return {"outer": inner.invoke({"items": state["outer"], "n": 0})["items"]}

    builder = p.StateGraph(Outer)
    builder.add_node("call", call)
    builder.add_edge(p.START, "call")
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), Stored(), Stream(START_INPUT, "updates", options={"subgraphs": True}))
def subgraph_called_twice_in_a_node(p):
    inner = chain(p, "x").compile()

    def call(state):
        one = inner.invoke({"items": ["one"], "n": 0})
        two = inner.invoke({"items": ["two"], "n": 0})
        return {"items": [*one["items"], *two["items"]]}

    builder = p.StateGraph(Items)
    builder.add_node("call", call)
    builder.add_edge(p.START, "call")
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), Invoke(START_INPUT), State(), Stored())
def subgraphs_with_shared_and_private_keys(p):
    class Inner(TypedDict):
        items: Annotated[list, operator.add]
        secret: str

    def hide(state: Inner):
        p.note("hide")
        return {"secret": "s" + state.get("secret", ""), "items": ["hidden"]}

    builder = p.StateGraph(Inner)
    builder.add_node("hide", hide)
    builder.add_node("tell", lambda state: {"items": [state["secret"]]})
    builder.add_edge(p.START, "hide")
    builder.add_edge("hide", "tell")
    return parent_of(p, builder.compile())


def to_parent(p, **command):
    def jump(state):
        p.note("jump")
        return p.Command(graph=p.Command.PARENT, **{k: v(p) if callable(v) else v for k, v in command.items()})

    inner = p.StateGraph(Items)
    inner.add_node("x", adder(p, "x"))
    inner.add_node("jump", jump)
    inner.add_node("never", adder(p, "never"))
    inner.add_edge(p.START, "x")
    inner.add_edge("x", "jump")
    inner.add_edge("jump", "never")
    builder = p.StateGraph(Items)
    builder.add_node("inner", inner.compile())
    builder.add_node("target", adder(p, "target"))
    builder.add_node("other", adder(p, "other"))
    builder.add_edge(p.START, "inner")
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), Stored(), Stream(START_INPUT, ALL, options={"subgraphs": True}), History())
def command_to_the_parent(p):
    return to_parent(p, update={"items": ["jumped"], "n": 5}, goto="target")


@case(Invoke(START_INPUT), Stored(), Stream(START_INPUT, "updates"))
def command_with_sends_to_the_parent(p):
    return to_parent(p, goto=lambda p: ["other", p.Send("target", {"items": [], "n": 1})])


@case(Invoke(START_INPUT), State(), Stored())
def command_to_the_parent_at_the_root(p):
    def jump(state):
        return p.Command(graph=p.Command.PARENT, update={"items": ["x"]})

    builder = p.StateGraph(Items)
    builder.add_node("jump", jump)
    builder.add_edge(p.START, "jump")
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), Stored(), Stream(START_INPUT, ["updates", "values"], options={"subgraphs": True}))
def command_past_two_graphs(p):
    def jump(state):
        return p.Command(graph=p.Command.PARENT, goto="middle_end", update={"items": ["jump"]})

    inner = p.StateGraph(Items)
    inner.add_node("jump", jump)
    inner.add_edge(p.START, "jump")
    middle = p.StateGraph(Items)
    middle.add_node("inner", inner.compile())
    middle.add_node("middle_end", adder(p, "middle_end"))
    middle.add_edge(p.START, "inner")
    return parent_of(p, middle.compile())


@case(
    Invoke(START_INPUT),
    State(subgraphs=True),
    Stored(),
    Invoke(None),
    State(subgraphs=True),
    Stored(),
)
def subgraph_fails_once(p):
    def flaky(state):
        p.note("flaky")
        if not p.count("flaky"):
            raise ValueError("test: first time")
        return {"items": ["flaky"]}

    inner = p.StateGraph(Items)
    inner.add_node("x", adder(p, "x"))
    inner.add_node("flaky", flaky)
    inner.add_edge(p.START, "x")
    inner.add_edge("x", "flaky")
    return parent_of(p, inner.compile())


@case(Invoke(START_INPUT), State(), Invoke(None, at=2), History(), Stored())
def replay_through_a_subgraph(p):
    return parent_of(p, chain(p, "x", "y").compile())


@case(Invoke(START_INPUT), Invoke(START_INPUT), Invoke(None, at=2), State(), Stored())
def replay_through_a_subgraph_with_memory(p):
    return parent_of(p, chain(p, "x", "y").compile(checkpointer=True))


@case(Invoke({"items": [], "n": 3}), State(), Stored(), Stream({"items": [], "n": 2}, "updates", ordered=False))
def sends_to_a_subgraph(p):
    builder = p.StateGraph(Items)
    builder.add_node("inner", chain(p, "x", "y").compile())
    builder.add_conditional_edges(
        p.START, lambda s: [p.Send("inner", {"items": [str(i)]}) for i in range(s["n"])], ["inner"]
    )
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), Update({"items": ["by hand"]}, as_node="inner"), State(), Invoke(None), History())
def update_as_a_subgraph_node(p):
    return parent_of(p, chain(p, "x").compile(), interrupt_before=["inner"])


@case(Invoke(START_INPUT, options={"durability": "exit"}), Stored(), State())
def subgraph_with_durability_exit(p):
    return parent_of(p, chain(p, "x", "y").compile())


@case(Invoke({"items": []}), State(subgraphs=True), Invoke(None), State(), differs=("no-private-keys",))
def stopped_beside_a_subgraph(p):
    builder = p.StateGraph(Items)
    builder.add_node("plain", adder(p, "plain"))
    builder.add_node("inner", chain(p, "x").compile())
    builder.add_edge(p.START, "plain")
    builder.add_edge(p.START, "inner")
    return builder.compile(checkpointer=p.saver(), interrupt_before=["plain"])
