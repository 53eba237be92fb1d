"""Random graphs as plain data, their strategies, and how one is built from a package's names."""

import operator
import time
from dataclasses import dataclass
from typing import Annotated, Any

from hypothesis import strategies as st
from tests.differential.actions import (
    Action,
    History,
    Invoke,
    ResumeAll,
    Session,
    State,
    Stored,
    Stream,
    Update,
    thread,
)
from tests.differential.scenario import Case
from typing_extensions import TypedDict

ONE_BY_ONE = {"max_concurrency": 1, "recursion_limit": 25}
LIMIT = 6  # nodes loop back only while `total` is below this


@dataclass(frozen=True)
class NodeSpec:
    """What a node does and where it leads; targets are counted from the node after it, or back from it for a loop."""

    targets: tuple[int, ...]
    kind: str = "edge"  # edge | branch | loop | goto | send | join
    questions: int = 0
    channels: tuple[str, ...] = ("items",)
    defer: bool = False
    sends: int = 0
    inner: bool = False  # the node is a graph of its own around its work


@dataclass(frozen=True)
class GraphSpec:
    """A whole graph: nodes, which of them start, whether one fails the first time."""

    nodes: tuple[NodeSpec, ...]
    starts: tuple[int, ...]
    fails: bool = False  # the last node fails once; as the last of its step, for what else starts then is a race
    stop_before: int | None = None
    stop_after: int | None = None


def rarely(strategy: Any) -> Any:
    return st.one_of(st.none(), st.none(), st.none(), strategy)


# Not AnyValue, which the reference leaves out of the live state of a step half done, nor Topic, which it stores as
# later steps have changed it.
CHANNELS = ("items", "items", "total", "names", "latest")
node_specs = st.builds(
    NodeSpec,
    targets=st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True).map(tuple),
    kind=st.sampled_from(["edge", "edge", "branch", "loop", "goto", "send", "join"]),
    questions=st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2]),
    channels=st.lists(st.sampled_from(CHANNELS), max_size=3, unique=True).map(tuple),
    defer=st.sampled_from([False, False, False, True]),
    sends=st.integers(0, 3),
    inner=st.sampled_from([False, False, False, True]),
)
graph_specs = st.builds(
    GraphSpec,
    nodes=st.lists(node_specs, min_size=2, max_size=7).map(tuple),
    starts=st.lists(st.integers(0, 2), min_size=1, max_size=2, unique=True).map(tuple),
    fails=st.sampled_from([False, False, False, True]),
    stop_before=rarely(st.integers(0, 6)),
    stop_after=rarely(st.integers(0, 6)),
)
SYNC = {"durability": "sync"}  # with the default the reference stores joins as later steps have changed them
INPUT = {"items": ["in"], "total": 0}


class QuietUpdate(Update):
    """An update at a moment when nothing of the step is done: what is done is kept, a deliberate difference."""

    async def perform(self, session: Session) -> Any:
        tasks = (await session.call("get_state", thread())).tasks
        if any(task.result is not None or task.error or task.interrupts for task in tasks):
            return "not now"
        return await super().perform(session)


later_actions = st.sampled_from(
    [
        Invoke(None, config=ONE_BY_ONE, options=SYNC),
        Invoke(None, config=ONE_BY_ONE, options=SYNC),
        ResumeAll(str),
        ResumeAll(str),
        Stream(None, ["values", "updates"], config=ONE_BY_ONE, options=SYNC),
        Invoke({"items": ["more"], "total": 1}, config=ONE_BY_ONE, options=SYNC),
        QuietUpdate({"items": ["by hand"]}, as_node="n0"),
        QuietUpdate({"items": ["fork"], "total": 1}, as_node="n0", at=1),
        Invoke(None, at=1, config=ONE_BY_ONE, options=SYNC),
        State(subgraphs=True),
    ]
)
first_actions = st.sampled_from(
    [
        Invoke(INPUT, config=ONE_BY_ONE, options=SYNC),
        Stream(INPUT, ["values", "updates"], config=ONE_BY_ONE, options=SYNC),
        Stream(INPUT, ["checkpoints", "tasks"], config=ONE_BY_ONE, options=SYNC),
    ]
)


@st.composite
def scenarios(draw: Any) -> tuple[GraphSpec, list[Action]]:
    script = [draw(first_actions), *draw(st.lists(later_actions, min_size=1, max_size=5))]
    return draw(graph_specs), [*script, State(), History(), Stored()]


def case_of(spec: GraphSpec, script: list[Action]) -> Case:
    return Case(
        "generated",
        lambda p: build(p, spec),
        script,
        differs=("answers-by-id", "tuples", "updates-are-writes", "no-private-keys"),
    )


def build(p: Any, spec: GraphSpec) -> Any:
    """Build the graph of a specification with a package's names."""

    class Everything(TypedDict):
        items: Annotated[list, operator.add]
        total: Annotated[int, operator.add]
        names: Annotated[set, operator.or_]
        latest: str

    builder = p.StateGraph(Everything)
    count = len(spec.nodes)
    sends = any(node.kind == "send" for node in spec.nodes)  # deferred nodes wait for them, a deliberate difference
    for number, node in enumerate(spec.nodes):
        work = _work(p, spec, number)
        builder.add_node(
            f"n{number}", _inner(p, Everything, work) if node.inner else work, defer=node.defer and not sends
        )
    for start in sorted({start % count for start in spec.starts}):
        builder.add_edge(p.START, f"n{start}")
    for number, node in enumerate(spec.nodes):
        _lead_on(p, builder, f"n{number}", node, _targets(spec, number))
    return builder.compile(
        checkpointer=p.saver(),
        interrupt_before=None if spec.stop_before is None else [f"n{spec.stop_before % count}"],
        interrupt_after=None if spec.stop_after is None else [f"n{spec.stop_after % count}"],
    )


def _targets(spec: GraphSpec, number: int) -> list[str]:
    """Name a node's targets: only a loop leads back."""
    node = spec.nodes[number]
    places = [number - target if node.kind == "loop" else number + 1 + target for target in node.targets]
    return [f"n{place}" for place in places if 0 <= place < len(spec.nodes)]


def _lead_on(p: Any, builder: Any, name: str, node: NodeSpec, targets: list[str]) -> None:
    if node.kind in {"goto", "send"} and not node.inner:
        return  # the node's own Command leads on
    if node.kind == "branch" and targets:
        builder.add_conditional_edges(name, lambda state: targets[state.get("total", 0) % len(targets)], targets)
    elif node.kind == "loop" and targets:
        builder.add_conditional_edges(
            name, lambda state: targets if state.get("total", 0) < LIMIT else p.END, [*targets, p.END]
        )
    elif node.kind == "join" and targets and name != "n0":
        builder.add_edge(["n0", name], targets[0])
    else:
        for target in targets:
            builder.add_edge(name, target)


def _work(p: Any, spec: GraphSpec, number: int) -> Any:
    node, name = spec.nodes[number], f"n{number}"
    targets = _targets(spec, number)

    def work(state: Any) -> Any:
        p.note(name)
        answers = [p.interrupt(f"{name} {question}") for question in range(node.questions)]
        sent_to = any(node.kind == "send" for node in spec.nodes)  # the last node may have several tasks in a step
        if spec.fails and not sent_to and number == len(spec.nodes) - 1 and not p.count(name):
            time.sleep(0.05)  # siblings end first: what happens otherwise is a race
            raise ValueError(f"test: {name}")
        # A conflict on resume: the reference's async stream sometimes ends before the last update is told.
        channels = tuple(c for c in node.channels if c != "latest" or not spec.fails)
        update = _update(name, channels, answers, state)
        if node.inner or node.kind not in {"goto", "send"}:
            return update
        sends = node.sends if "items" in state else 0  # what was sent here sends nothing on: it would multiply
        goto = targets if node.kind == "goto" else [p.Send(t, {"total": i}) for t in targets for i in range(sends)]
        return p.Command(update=update, goto=goto)

    return work


def _inner(p: Any, schema: type, work: Any) -> Any:
    class Result(TypedDict):
        items: Annotated[list, operator.add]
        total: Annotated[int, operator.add]  # so that loops end

    class Given(TypedDict):  # without the items: handed in and out, they would double with each call
        total: Annotated[int, operator.add]
        latest: str

    builder = p.StateGraph(schema, input_schema=Given, output_schema=Result)
    builder.add_node("first", lambda state: {"total": 1, "items": ["inner"]})
    builder.add_node("work", work)
    builder.add_edge(p.START, "first")
    builder.add_edge("first", "work")
    return builder.compile()


def _update(name: str, channels: tuple[str, ...], answers: list[str], state: Any) -> dict[str, Any]:
    values = {
        "items": [name, *answers, len(state.get("items") or ())],
        "total": 1,
        "names": {name},
        "latest": name,
    }
    return {"total": 1, **{channel: values[channel] for channel in channels}}
