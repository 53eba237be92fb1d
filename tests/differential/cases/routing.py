"""Edges, joins, loops, `Send`, `Command` as a route, deferred nodes, the recursion limit."""

import operator
from typing import Annotated

from tests.differential.actions import Batch, History, Invoke, State, Stored, Stream
from tests.differential.cases.building import START_INPUT, Items, adder, chain
from tests.differential.scenario import case
from typing_extensions import TypedDict

ALL = ("values", "updates", "custom", "messages", "checkpoints", "tasks", "debug")


@case(Invoke(START_INPUT), State(), History(), Stored(), Invoke({"items": ["again"]}), History(), Stored())
def linear(p):
    return chain(p, "a", "b", "c").compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), Stream(START_INPUT, ["values", "updates"]), State())
def linear_without_saver(p):
    return chain(p, "a", "b").compile()


@case(Batch([START_INPUT, {"items": ["x"], "n": 1}, {"items": []}]))
def batch(p):
    return chain(p, "a", "b").compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), Stored(), Stream(START_INPUT, "updates"), Stream(START_INPUT, ALL), History())
def fan_out_and_in(p):
    builder = p.StateGraph(Items)
    for name in "abcd":
        builder.add_node(name, adder(p, name))
    builder.add_edge(p.START, "a")
    for name in "bc":
        builder.add_edge("a", name)
        builder.add_edge(name, "d")
    builder.add_edge("d", p.END)
    return builder.compile(checkpointer=p.saver())


SYNC = {"durability": "sync"}  # with the default the reference stores joins as later steps have changed them


@case(
    Invoke(START_INPUT, options=SYNC),
    Stored(),
    Stream(START_INPUT, ["tasks", "checkpoints"], options=SYNC),
    History(),
)
def join_waits_for_all(p):
    builder = p.StateGraph(Items)
    for name in ("a", "b", "b2", "join"):
        builder.add_node(name, adder(p, name))
    builder.add_edge(p.START, "a")
    builder.add_edge(p.START, "b")
    builder.add_edge("b", "b2")
    builder.add_edge(["a", "b2"], "join")
    builder.add_edge("join", p.END)
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), Stored(), Stream(START_INPUT, "values"), Invoke(START_INPUT, config={"recursion_limit": 3}))
def loop(p):
    def count(state):
        p.note("count")
        return {"n": state["n"] + 1, "items": [state["n"]]}

    builder = p.StateGraph(Items)
    builder.add_node("count", count)
    builder.add_edge(p.START, "count")
    builder.add_conditional_edges("count", lambda state: "count" if state["n"] < 5 else p.END)
    return builder.compile(checkpointer=p.saver())


@case(
    Invoke(START_INPUT, config={"recursion_limit": 3}),
    State(),
    Stored(),
    Invoke(None, config={"recursion_limit": 2}),
    State(),
    Stream(START_INPUT, ["values", "debug"], config={"recursion_limit": 2}),
)
def recursion_limit(p):
    builder = p.StateGraph(Items)
    builder.add_node("a", adder(p, "a"))
    builder.add_node("b", adder(p, "b"))
    builder.add_edge(p.START, "a")
    builder.add_edge("a", "b")
    builder.add_edge("b", "a")
    return builder.compile(checkpointer=p.saver())


@case(Invoke({"items": [], "n": 0}), Invoke({"items": [], "n": 1}), Invoke({"items": [], "n": 2}), History())
def conditional_with_path_map(p):
    builder = p.StateGraph(Items)
    for name in "abc":
        builder.add_node(name, adder(p, name))
        builder.add_edge(name, p.END)
    routes = {0: "a", 1: "b", "both": "c"}
    builder.add_conditional_edges(p.START, lambda state: state["n"] if state["n"] < 2 else [0, 1, "both"], routes)
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), Stored(), Invoke({"n": 2}), State())
def conditional_sees_the_node_s_own_update(p):
    builder = p.StateGraph(Items)
    builder.add_node("a", adder(p, "a", n=7))
    builder.add_node("big", adder(p, "big"))
    builder.add_node("small", adder(p, "small"))
    builder.add_edge(p.START, "a")
    builder.add_conditional_edges("a", lambda state: "big" if state["n"] > 5 else "small", ["big", "small"])
    return builder.compile(checkpointer=p.saver())


@case(
    Invoke({"items": [], "n": 3}),
    Stored(),
    Stream({"items": [], "n": 3}, ["updates", "tasks"]),
    Stream({"items": [], "n": 4}, ALL, ordered=False),
    History(),
)
def send_fan_out(p):
    class Work(TypedDict):
        number: int

    def work(state: Work):
        p.note(f"work {state['number']}")
        return {"items": [state["number"] * 10]}

    builder = p.StateGraph(Items)
    builder.add_node("plan", adder(p, "plan"))
    builder.add_node("work", work)
    builder.add_node("collect", adder(p, "collect"))
    builder.add_edge(p.START, "plan")
    builder.add_conditional_edges("plan", lambda s: [p.Send("work", {"number": i}) for i in range(s["n"])], ["work"])
    builder.add_edge("work", "collect")
    return builder.compile(checkpointer=p.saver())


@case(Invoke({"items": [], "n": 2}), Stored(), Stream({"items": [], "n": 2}, ["updates", "debug"]))
def send_of_odd_payloads_beside_an_edge(p):
    def work(payload):
        p.note(f"work {payload}")
        return {"items": [payload]}

    def route(state):
        return [p.Send("work", None), p.Send("work", 5), p.Send("work", ["x", 1]), p.Send("work", {"k": {}}), "side"]

    builder = p.StateGraph(Items)
    builder.add_node("work", work)
    builder.add_node("side", adder(p, "side"))
    builder.add_conditional_edges(p.START, route, ["work", "side"])
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), Stored(), History())
def send_from_sends(p):
    def spread(state):
        depth = state["depth"]
        p.note(f"spread {depth}")
        goto = [p.Send("spread", {"depth": depth + 1})] * 2 if depth < 2 else []
        return p.Command(update={"items": [depth]}, goto=goto)

    builder = p.StateGraph(Items)
    builder.add_node("spread", spread)
    builder.add_conditional_edges(p.START, lambda state: [p.Send("spread", {"depth": 0})], ["spread"])
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), Stored(), Stream(START_INPUT, ["values", "updates"]), History())
def command_goto_and_update(p):
    def a(state):
        p.note("a")
        return p.Command(update={"items": ["a"], "n": 1}, goto="c")

    builder = p.StateGraph(Items)
    builder.add_node("a", a, destinations=("b", "c"))
    builder.add_node("b", adder(p, "b"))
    builder.add_node("c", adder(p, "c"))
    builder.add_edge(p.START, "a")
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), Stored(), Stream(START_INPUT, "updates"))
def commands_mixed_in_a_list(p):
    def a(state):
        p.note("a")
        return [
            {"items": ["plain"]},
            p.Command(update={"items": ["command"]}, goto=["b", p.Send("c", {"items": ["sent"]})]),
            p.Command(goto="d"),
        ]

    builder = p.StateGraph(Items)
    builder.add_node("a", a)
    for name in "bcd":
        builder.add_node(name, adder(p, name))
    builder.add_edge(p.START, "a")
    return builder.compile(checkpointer=p.saver())


@case(
    Invoke(lambda p: p.Command(update={"items": ["in"], "n": 3}, goto="b")),
    Stored(),
    Invoke(lambda p: p.Command(goto=["b", p.Send("c", {"n": 1})])),
    State(),
    Invoke(lambda p: p.Command(update={"items": ["only"]})),
    Stored(),
    differs=("command-input-once",),
)
def command_as_input(p):
    builder = chain(p, "a", "b")
    builder.add_node("c", adder(p, "c"))
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), Stored(), Stream(START_INPUT, ["updates", "tasks"]), History(), differs=("tuples",))
def deferred_node(p):
    builder = p.StateGraph(Items)
    for name in ("a", "b", "b2", "b3"):
        builder.add_node(name, adder(p, name))
    builder.add_node("last", adder(p, "last"), defer=True)
    builder.add_edge(p.START, "a")
    builder.add_edge(p.START, "b")
    builder.add_edge("b", "b2")
    builder.add_edge("b2", "b3")
    builder.add_edge("a", "last")
    builder.add_edge("b3", "last")
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), differs=("defer-waits-for-sends",))
def deferred_node_due_beside_a_send(p):
    def spread(state):
        return p.Command(goto=[p.Send("side", {"items": []})])

    builder = p.StateGraph(Items)
    builder.add_node("a", adder(p, "a"))
    builder.add_node("spread", spread)
    builder.add_node("side", adder(p, "side"))
    builder.add_node("last", lambda state: {"items": [len(state["items"])]}, defer=True)
    builder.add_edge(p.START, "a")
    builder.add_edge("a", "spread")
    builder.add_edge("a", "last")
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT, options=SYNC), Stored(), differs=("tuples",))
def deferred_join(p):
    builder = p.StateGraph(Items)
    for name in ("a", "b", "c", "c2"):
        builder.add_node(name, adder(p, name))
        if name != "c2":
            builder.add_edge(p.START, name)
    builder.add_node("last", adder(p, "last"), defer=True)
    builder.add_edge(["a", "b"], "last")
    builder.add_edge("c", "c2")
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), Stored())
def sequence_and_entry_points(p):
    builder = p.StateGraph(Items)
    builder.add_sequence([("a", adder(p, "a")), ("b", adder(p, "b"))])
    builder.set_entry_point("a")
    builder.set_finish_point("b")
    return builder.compile(checkpointer=p.saver(), name="sequenced")


@case(Invoke(START_INPUT), Invoke({"items": [], "n": 9}), Stored())
def conditional_entry_and_two_branches_of_one_node(p):
    def pick(state):
        return "a" if state["n"] < 5 else "b"

    def other(state):
        return "c"

    builder = p.StateGraph(Items)
    for name in "abc":
        builder.add_node(name, adder(p, name))
    builder.set_conditional_entry_point(pick, ["a", "b"])
    builder.add_conditional_edges("a", lambda state: "b", ["b"])
    builder.add_conditional_edges("a", other, ["c"])
    return builder.compile(checkpointer=p.saver())


@case(Invoke({"items": [], "n": 0}), Stored(), State())
def node_returns_nothing(p):
    builder = p.StateGraph(Items)
    builder.add_node("quiet", lambda state: None)
    builder.add_node("empty", lambda state: {})
    builder.add_node("after", adder(p, "after"))
    builder.add_edge(p.START, "quiet")
    builder.add_edge("quiet", "empty")
    builder.add_edge("empty", "after")
    return builder.compile(checkpointer=p.saver())


@case(Invoke({}), Invoke(None), Invoke({"unknown": 1}), State(), Stored())
def odd_inputs(p):
    return chain(p, "a").compile(checkpointer=p.saver())


def larger(one, other):
    return max(one, other)


@case(Invoke({"total": 1, "names": {"x"}}), Stored())
def other_reducers(p):
    class Totals(TypedDict):
        total: Annotated[int, operator.add]
        names: Annotated[set, operator.or_]
        best: Annotated[int, larger]

    builder = p.StateGraph(Totals)
    builder.add_node("a", lambda state: {"total": 2, "names": {"a"}, "best": 3})
    builder.add_node("b", lambda state: {"total": 3, "names": {"b"}, "best": 2})
    for name in "ab":
        builder.add_edge(p.START, name)
    return builder.compile(checkpointer=p.saver())
