"""Nodes that raise, siblings that finished, retries, resuming after a failure."""

import time
from typing import Annotated

from tests.differential.actions import History, Invoke, State, Stored, Stream, Update
from tests.differential.cases.building import START_INPUT, Items, adder, chain
from tests.differential.scenario import case
from typing_extensions import TypedDict


def failing(p, name, times=1, error=ValueError, after=0.0):
    """Return a node that raises the first times, `after` seconds into its run."""

    def node(state):
        p.note(name)
        time.sleep(after)
        if p.count(name) < times:
            raise error(f"test: {name}")
        return {"items": [name]}

    return node


def beside(p, *siblings):
    builder = p.StateGraph(Items)
    for name, node in siblings:
        builder.add_node(name, node)
        builder.add_edge(p.START, name)
        builder.add_edge(name, "end")
    builder.add_node("end", adder(p, "end"))
    return builder.compile(checkpointer=p.saver())


@case(
    Invoke(START_INPUT),
    State(),
    History(),
    Stored(),
    Invoke(None),
    State(),
    History(),
    Stored(),
)
def node_fails_once(p):
    builder = chain(p, "a")
    builder.add_node("b", failing(p, "b"))
    builder.add_edge("a", "b")
    return builder.compile(checkpointer=p.saver())


@case(Stream(START_INPUT, ["values", "updates", "tasks", "debug", "checkpoints"]), Stream(None, ["updates", "tasks"]))
def node_fails_once_streamed(p):
    builder = chain(p, "a")
    builder.add_node("b", failing(p, "b"))
    builder.add_edge("a", "b")
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), State(), Stored(), Invoke(None), State(), History(), Stored())
def sibling_finished_before_the_failure(p):
    return beside(p, ("quick", adder(p, "quick")), ("slow", failing(p, "slow", after=0.15)))


@case(
    Invoke(START_INPUT),
    Update({"items": ["by hand"]}, as_node="slow"),
    State(),
    Invoke(None),
    History(),
    differs=("update-keeps-siblings",),
)
def failed_node_replaced_by_hand(p):
    return beside(p, ("quick", adder(p, "quick")), ("slow", failing(p, "slow", after=0.15)))


@case(Invoke(START_INPUT), State(), Invoke({"items": ["new input"]}), State(), Stored())
def new_input_after_a_failure(p):
    return beside(p, ("quick", adder(p, "quick")), ("slow", failing(p, "slow", after=0.15)))


@case(Invoke({"items": [], "n": 3}), State(), Invoke(None), State(), Stored())
def one_send_of_three_fails(p):
    def work(state):
        i = state["i"]
        p.note(f"work {i}")
        time.sleep(0.15 if i == 1 else 0)
        if i == 1 and not p.count("work"):
            raise ValueError("test: work 1")
        return {"items": [i]}

    builder = p.StateGraph(Items)
    builder.add_node("work", work)
    builder.add_conditional_edges(p.START, lambda s: [p.Send("work", {"i": i}) for i in range(s["n"])], ["work"])
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), State(), Stored(), Stream(START_INPUT, ["updates", "custom"]))
def retry_succeeds(p):
    def flaky(state):
        p.note("flaky")
        p.get_stream_writer()("trying")
        if p.count("flaky") % 3 < 2:
            raise ConnectionError("test: flaky")
        return {"items": ["flaky"]}

    builder = p.StateGraph(Items)
    policy = p.RetryPolicy(initial_interval=0.001, jitter=False, max_attempts=3)
    builder.add_node("flaky", flaky, retry_policy=policy)
    builder.add_edge(p.START, "flaky")
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), State(), Invoke(None), State())
def retry_gives_up(p):
    builder = p.StateGraph(Items)
    policy = p.RetryPolicy(initial_interval=0.001, max_attempts=2, retry_on=KeyError)
    builder.add_node("a", failing(p, "a", times=3, error=KeyError), retry_policy=policy)
    builder.add_edge(p.START, "a")
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), Invoke(None))
def retry_of_another_error_is_none(p):
    builder = p.StateGraph(Items)
    policy = p.RetryPolicy(initial_interval=0.001, max_attempts=3, retry_on=lambda error: isinstance(error, KeyError))
    builder.add_node("a", failing(p, "a", times=1), retry_policy=[policy])
    builder.add_edge(p.START, "a")
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), Invoke(None))
def retry_by_default_leaves_value_errors(p):
    builder = p.StateGraph(Items)
    policy = p.RetryPolicy(initial_interval=0.001)
    builder.add_node("a", failing(p, "a", times=1), retry_policy=policy)
    builder.add_edge(p.START, "a")
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), State(), Invoke(None), State(), Stored(), differs=("failed-branch",))
def branch_fails_once(p):
    def route(state):
        p.note("route")
        if not p.count("route"):
            raise ValueError("test: route")
        return "b"

    builder = p.StateGraph(Items)
    builder.add_node("a", adder(p, "a"))
    builder.add_node("b", adder(p, "b"))
    builder.add_edge(p.START, "a")
    builder.add_conditional_edges("a", route, ["b"])
    return builder.compile(checkpointer=p.saver())


@case(Invoke({"n": 1, "items": []}), State(), Invoke({"n": 2, "items": []}), State(), History())
def reducer_fails(p):

    def strict(old, new):
        if new == ["bad"]:
            raise ValueError("test: reducer")
        return [*old, *new]

    class Strict(TypedDict):
        items: Annotated[list, strict]
        n: int

    builder = p.StateGraph(Strict)
    builder.add_node("a", lambda state: {"items": ["bad" if state["n"] == 1 else "good"]})
    builder.add_edge(p.START, "a")
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT, options={"durability": "exit"}), State(), Stored(), Invoke(None), History())
def failure_with_durability_exit(p):
    builder = chain(p, "a")
    builder.add_node("b", failing(p, "b"))
    builder.add_edge("a", "b")
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT, options={"durability": "exit"}), State(), Stored(), Invoke(None), History(), Stored())
def sibling_finished_before_the_failure_with_durability_exit(p):
    return beside(p, ("quick", adder(p, "quick")), ("slow", failing(p, "slow", after=0.15)))


@case(Invoke(START_INPUT, options={"durability": "exit"}), Invoke(None), State(), differs=("conflict-with-exit",))
def conflict_with_durability_exit(p):
    builder = p.StateGraph(Items)
    for place, name in enumerate("ab"):
        builder.add_node(name, adder(p, name, n=place))
        builder.add_edge(p.START, name)
    return builder.compile(checkpointer=p.saver())
