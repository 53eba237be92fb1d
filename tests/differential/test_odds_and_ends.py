"""Small features that no graph of the cases shows: each does the same on both packages."""

import asyncio
import contextlib
import io
import itertools
import operator
import os
import subprocess
import sys
import time
import uuid
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from typing_extensions import TypedDict

PACKAGES = ("langgraph", "perdure")
THREAD: Any = {"configurable": {"thread_id": "t"}}


class State(TypedDict):
    items: Annotated[list, operator.add]


class Package:
    """The names of one package."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, path: str) -> Any:
        return import_module(f"{self.name}.{path}")

    def saver(self) -> Any:
        return self("checkpoint.memory").InMemorySaver()

    def chain(self, *nodes: Callable[..., Any], schema: Any = State, **options: Any) -> Any:
        builder = self("graph").StateGraph(schema)
        before = "__start__"
        for node in nodes:
            builder.add_node(node.__name__, node).add_edge(before, node.__name__)
            before = node.__name__
        return builder.compile(**options)


def a(state: State) -> State:
    return {"items": ["a"]}


def b(state: State) -> State:
    return {"items": ["b"]}


def raised(run: Callable[[], Any]) -> str:
    with pytest.raises(Exception) as caught:
        run()
    return type(caught.value).__name__


def drains(p: Package) -> Any:
    control = p("runtime").RunControl()

    def asks(state: State) -> State:
        control.request_drain("enough")
        return {"items": ["asks"]}

    graph = p.chain(asks, b, checkpointer=p.saver())
    with pytest.raises(p("errors").GraphDrained) as drained:
        graph.invoke({"items": []}, THREAD, control=control)
    return drained.value.reason, graph.get_state(THREAD).next, graph.invoke(None, THREAD)


def a_node_that_raises_cancelled_error(p: Package) -> Any:
    async def node(state: State) -> State:
        raise asyncio.CancelledError

    graph = p.chain(node)
    return raised(lambda: asyncio.run(graph.ainvoke({"items": []})))


def a_copy_with_updates(p: Package) -> Any:
    graph = p.chain(a, b, checkpointer=p.saver())
    graph.invoke({"items": ["in"]}, THREAD)
    old = list(graph.get_state_history(THREAD))[1]
    graph.update_state(old.config, [({"items": ["x"]}, "a")], as_node="__copy__")
    return [(s.values, s.next, s.metadata["source"], s.metadata["step"]) for s in graph.get_state_history(THREAD)]


def an_update_with_a_task_id(p: Package) -> Any:
    graph = p.chain(a, b, checkpointer=p.saver())
    graph.invoke({"items": ["in"]}, THREAD)
    task = str(uuid.UUID(int=9))
    graph.update_state(THREAD, {"items": ["x"]}, as_node="a", task_id=task)
    parent = graph.checkpointer.get_tuple(graph.checkpointer.get_tuple(THREAD).parent_config)
    return [write for write in parent.pending_writes if write[0] == task][:1]


def a_delta_channel(p: Package) -> Any:
    class Delta(TypedDict):
        items: Annotated[list, p("channels").DeltaChannel(lambda value, updates: [*value, *itertools.chain(*updates)])]

    def x(state):
        return {"items": ["x"]}

    def y(state):
        return {"items": ["y"]}

    graph = p.chain(x, y, schema=Delta, checkpointer=p.saver())
    graph.invoke({"items": ["in"]}, THREAD)
    graph.invoke({"items": ["again"]}, THREAD)
    graph.update_state(THREAD, {"items": p("types").Overwrite(["o"])}, as_node="x")
    return [snapshot.values for snapshot in graph.get_state_history(THREAD)]


def a_config_of_the_graph(p: Package) -> Any:
    seen = []

    def node(state: State, config: RunnableConfig) -> State:
        seen.append((config["tags"], config["metadata"]["k"]))
        return {"items": []}

    p.chain(node).with_config(tags=["x"], metadata={"k": 1}).invoke({"items": []}, {"tags": ["y"]})
    return seen


def node_interrupts(p: Package) -> Any:
    def node(state: State) -> State:
        raise p("errors").NodeInterrupt("why")

    graph = p.chain(node, checkpointer=p.saver())
    result = graph.invoke({"items": []}, THREAD)
    return [one.value for one in result["__interrupt__"]], graph.get_state(THREAD).next


def handlers_that_are_coroutines(p: Package) -> Any:
    told = []

    class Handler(p("callbacks").GraphCallbackHandler):  # type: ignore[misc]
        async def on_interrupt(self, event: Any) -> None:
            await asyncio.sleep(0.01)
            told.append("stopped")

        async def on_resume(self, event: Any) -> None:
            told.append("goes on")

    def asks(state: State) -> State:
        return {"items": [p("types").interrupt("?")]}

    graph = p.chain(asks, checkpointer=p.saver())
    config = {**THREAD, "callbacks": [Handler()]}

    async def run() -> None:
        await graph.ainvoke({"items": []}, config)
        told.append("returned")
        await graph.ainvoke(p("types").Command(resume=1), config)

    asyncio.run(run())
    return told


def print_modes(p: Package) -> Any:
    found = []
    graph, noisy = p.chain(a, b), p.chain(a, b, debug=True)
    for run in (
        lambda: graph.invoke({"items": []}, print_mode="updates"),
        lambda: graph.invoke({"items": []}, print_mode=["updates", "values"]),
        lambda: asyncio.run(graph.ainvoke({"items": []}, print_mode="updates")),
        lambda: list(graph.stream({"items": []}, stream_mode="values", print_mode="updates")),
        lambda: graph.invoke({"items": []}, stream_mode="updates", print_mode="values"),
        lambda: noisy.invoke({"items": []}),
        lambda: asyncio.run(noisy.ainvoke({"items": []})),
    ):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            result = run()
        found.append((result, bool(printed.getvalue())))
    return found


def a_timeout_of_a_send(p: Package) -> Any:
    async def slow(state: State) -> State:
        await asyncio.sleep(5)
        return {"items": []}

    builder = p("graph").StateGraph(State).add_node("slow", slow)
    builder.add_conditional_edges("__start__", lambda state: [p("types").Send("slow", state, timeout=0.05)], ["slow"])
    graph = builder.compile()
    return raised(lambda: asyncio.run(graph.ainvoke({"items": []})))


def subgraphs_by_name(p: Package) -> Any:
    inner = p("graph").StateGraph(State).add_node("deep", p.chain(a)).add_edge("__start__", "deep").compile()
    outer = p("graph").StateGraph(State).add_node("inner", inner).add_edge("__start__", "inner").compile()
    found = [[name for name, _ in outer.get_subgraphs(recurse=recurse)] for recurse in (False, True)]
    return found, [name for name, _ in outer.get_subgraphs(namespace="inner|deep", recurse=True)]


def transformers_of_a_graph(p: Package) -> Any:
    graph = p.chain(a, b, transformers=[p("stream").UpdatesTransformer])
    run = graph.stream_events({"items": []}, version="v3")
    return list(run.updates), run.output


def pushed_messages(p: Package) -> Any:
    class Messages(TypedDict):
        messages: Annotated[list, p("graph").add_messages]

    def node(state: Messages) -> Messages:
        p("graph.message").push_message(AIMessage("kept", id="1"))
        p("graph.message").push_message(AIMessage("shown only", id="2"), state_key=None)
        return {"messages": [AIMessage("returned", id="3")]}

    graph = p.chain(node, schema=Messages)
    told = [message.content for message, _ in graph.stream({"messages": []}, stream_mode="messages")]
    no_id = p.chain(lambda_pushing(p), schema=Messages)
    kept = [message.content for message in graph.invoke({"messages": []})["messages"]]
    with pytest.raises(ValueError, match=r"(?i)\bid\b"):
        no_id.invoke({"messages": []})
    return told, kept


def lambda_pushing(p: Package) -> Callable[[Any], Any]:
    def pushes(state: Any) -> Any:
        p("graph.message").push_message(AIMessage("nobody"))

    return pushes


def attempts_and_their_times(p: Package) -> Any:
    seen: list[Any] = []

    def node(state: State, runtime: Any) -> State:
        seen.append(runtime.execution_info)
        if len(seen) < 3:
            raise ConnectionError
        return {"items": []}

    node.__annotations__["runtime"] = p("runtime").Runtime
    policy = p("types").RetryPolicy(initial_interval=0.01, jitter=False)
    builder = p("graph").StateGraph(State).add_node("node", node, retry_policy=policy).add_edge("__start__", "node")
    builder.compile().invoke({"items": []})
    times = {info.node_first_attempt_time for info in seen}
    return [info.node_attempt for info in seen], len(times), {type(time) for time in times}


def answers_without_a_saver(p: Package) -> Any:
    with pytest.raises(RuntimeError):
        p.chain(a).invoke(p("types").Command(resume=1))


def answers_to_unknown_questions(p: Package) -> Any:
    def asks(state: State) -> State:
        return {"items": [p("types").interrupt("?")]}

    graph = p.chain(asks, checkpointer=p.saver())
    graph.invoke({"items": []}, THREAD)
    strict: Any = {"configurable": {"thread_id": "t", "__pregel_strict_resume": True}}
    with pytest.raises(p("errors").UnknownInterruptError) as refused:
        graph.invoke(p("types").Command(resume={"0" * 32: 1}), strict)
    return refused.value.reason


def a_command_for_a_parent_as_input(p: Package) -> Any:
    command = p("types").Command(graph="__parent__", update={"items": [1]})
    graph = p.chain(a, checkpointer=p.saver())
    first = raised(lambda: graph.invoke(command, THREAD))
    graph.invoke({"items": []}, THREAD)
    return first, raised(lambda: graph.invoke(command, THREAD)), raised(lambda: p.chain(a).invoke(command))


def eager_streams(p: Package) -> Any:
    """With `stream_eager`, what a task has returned is told while others still run."""
    told: list[str] = []

    def quick(state: State) -> State:
        return {"items": ["quick"]}

    def slow(state: State) -> State:
        for _ in range(500):
            if told:
                break
            time.sleep(0.01)
        return {"items": ["slow after quick" if told else "slow alone"]}

    builder = p("graph").StateGraph(State).add_node("quick", quick).add_node("slow", slow)
    graph = builder.add_edge("__start__", "quick").add_edge("__start__", "slow").compile()
    graph.stream_eager = True
    for update in graph.stream({"items": []}, stream_mode="updates"):
        told.extend(update)
    return told, update


LIMITED = """
import operator, sys
from typing import Annotated, TypedDict
from {package}.errors import GraphRecursionError
from {package}.graph import StateGraph

class State(TypedDict):
    n: Annotated[int, operator.add]

graph = StateGraph(State).add_node("a", lambda s: {{"n": 1}}).add_edge("__start__", "a").add_edge("a", "a").compile()
steps = []
try:
    for update in graph.stream({{"n": 0}}, stream_mode="updates"):
        steps.append(update)
except GraphRecursionError:
    print(len(steps))
"""


def the_limit_of_the_environment(p: Package) -> Any:
    environment = {**os.environ, "LANGGRAPH_DEFAULT_RECURSION_LIMIT": "7"}
    command = [sys.executable, "-c", LIMITED.format(package=p.name)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def the_run_of_the_config(p: Package) -> Any:
    """A call with the run's own id goes on; here it is the config's, there that of its metadata."""
    failing = [True]

    def fails_once(state: State) -> State:
        if failing:
            failing.clear()
            raise ValueError("once")
        return {"items": ["b"]}

    graph = p.chain(a, fails_once, checkpointer=p.saver())
    run_id = uuid.UUID(int=7)
    config = {**THREAD, "run_id": run_id, "metadata": {"run_id": str(run_id)}}
    with pytest.raises(ValueError, match="once"):
        graph.invoke({"items": ["in"]}, config)
    return graph.invoke({"items": ["in"]}, config)


def a_store_in_a_node(p: Package) -> Any:
    seen = []

    def node(state: State, store: Any, runtime: Any) -> State:
        found = p("config").get_store()
        seen.append(store is found and runtime.store is found)
        found.put(("notes",), "1", {"text": "kept"})
        return {"items": [found.get(("notes",), "1").value["text"]]}

    node.__annotations__.update(store=p("store.base").BaseStore, runtime=p("runtime").Runtime)
    store = p("store.memory").InMemoryStore()
    result = p.chain(node, store=store).invoke({"items": []})
    return seen, result, store.get(("notes",), "1").value


def retries_by_default(p: Package) -> Any:
    class Answer(Exception):
        def __init__(self, status: int) -> None:
            self.response = type("Response", (), {"status_code": status})()

    errors = [ConnectionError(), ValueError(), TypeError(), RuntimeError(), OSError(), KeyError(), Exception()]
    return [p("types").default_retry_on(error) for error in errors]


def codes_of_errors(p: Package) -> Any:
    return sorted(code.name for code in p("errors").ErrorCode)


SHOWN = [
    drains,
    a_node_that_raises_cancelled_error,
    a_copy_with_updates,
    an_update_with_a_task_id,
    a_delta_channel,
    a_config_of_the_graph,
    node_interrupts,
    handlers_that_are_coroutines,
    print_modes,
    a_timeout_of_a_send,
    subgraphs_by_name,
    transformers_of_a_graph,
    pushed_messages,
    attempts_and_their_times,
    answers_without_a_saver,
    answers_to_unknown_questions,
    a_command_for_a_parent_as_input,
    eager_streams,
    the_limit_of_the_environment,
    the_run_of_the_config,
    a_store_in_a_node,
    retries_by_default,
    codes_of_errors,
]


@pytest.mark.parametrize("show", SHOWN, ids=lambda show: show.__name__)
def test_the_same(show):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the reference calls deprecated or experimental
        reference, ours = (show(Package(name)) for name in PACKAGES)
    assert ours == reference


@pytest.mark.parametrize("fails", [False, True])
def test_a_synchronous_run_refuses_handlers_that_are_coroutines(fails):
    """The reference's can't wait for them either, and says so in a log."""
    from perdure.callbacks import GraphCallbackHandler
    from perdure.errors import UsageError
    from perdure.types import Command, interrupt

    class Handler(GraphCallbackHandler):
        async def on_resume(self, event: Any) -> None:
            raise AssertionError("nobody waits for it")

    def asks(state: State) -> State:
        interrupt("?")
        if fails:
            raise ValueError("of the node")
        return {"items": ["done"]}

    graph = Package("perdure").chain(asks, checkpointer=Package("perdure").saver())
    graph.invoke({"items": []}, THREAD)
    expected: Any = (ValueError, "of the node") if fails else (UsageError, "coroutine function")
    with pytest.raises(expected[0], match=expected[1]):
        graph.invoke(Command(resume=1), {**THREAD, "callbacks": [Handler()]})
    assert graph.get_state(THREAD).next == (("asks",) if fails else ())


@pytest.mark.parametrize("saved", [False, True])
def test_an_empty_command_is_refused(saved):
    """The reference stumbles over it (UnboundLocalError), or runs as if it were an input."""
    from perdure.errors import EmptyInputError
    from perdure.types import Command

    p = Package("perdure")
    graph = p.chain(a, checkpointer=p.saver() if saved else None)
    with pytest.raises(EmptyInputError, match="the Command is empty"):
        graph.invoke(Command(), THREAD)
