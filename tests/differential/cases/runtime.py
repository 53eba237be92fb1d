"""What nodes are given: config, context, runtime, writers; stream modes; async nodes; language models."""

import asyncio
import functools
import operator
from dataclasses import dataclass
from typing import Annotated

from tests.differential.actions import Ask, Invoke, State, Stored, Stream
from tests.differential.cases.building import START_INPUT, Items, adder, chain
from tests.differential.scenario import case
from typing_extensions import TypedDict

ALL = ("values", "updates", "custom", "messages", "checkpoints", "tasks", "debug")


def single(p, node, *, state=Items, **options):
    builder = p.StateGraph(state, **options)
    builder.add_node("node", node)
    builder.add_edge(p.START, "node")
    return builder.compile(checkpointer=p.saver())


@dataclass
class Ctx:
    user: str
    level: int = 3


@case(
    Invoke(START_INPUT, options={"context": {"user": "u"}}),
    Invoke(START_INPUT, options={"context": lambda p: Ctx("v", 9)}),
    Invoke(START_INPUT, options={"context": {"nobody": 1}}),
    Invoke(START_INPUT),
    Stored(),
)
def context(p):
    def node(state, runtime: p.Runtime[Ctx]):
        return {"items": [getattr(runtime.context, "user", None), getattr(runtime.context, "level", None)]}

    return single(p, node, context_schema=Ctx)


@case(
    Invoke(START_INPUT, config={"configurable": {"thread_id": "t", "x": 5}, "tags": ["t"], "metadata": {"m": 1}}),
    Invoke(START_INPUT, config={"configurable": {"thread_id": "t"}}),
    differs=("tuples",),
)
def config_in_a_node(p):
    def node(state, config):
        own = p.get_config()
        keys = ("thread_id", "x", "checkpoint_ns")
        return {
            "items": [
                {key: config["configurable"].get(key) for key in keys},
                {key: own["configurable"].get(key) for key in keys},
                sorted(config.get("tags") or []),
                {k: v for k, v in config["metadata"].items() if not k.startswith("ls_")},
            ]
        }

    return single(p, node)


@case(Stream(START_INPUT, ["custom", "updates"]), Stream(START_INPUT, "custom"), Invoke(START_INPUT), State())
def custom_streams(p):
    def node(state, writer):
        writer("injected")
        p.get_stream_writer()({"got": 1})
        return {"items": ["x"]}

    return single(p, node)


@case(Stream(START_INPUT, ["custom"], options={"subgraphs": True}), Stream(START_INPUT, "custom"))
def custom_streams_of_a_subgraph(p):
    def talk(state):
        p.get_stream_writer()("inside")
        return {"items": ["talk"]}

    inner = p.StateGraph(Items)
    inner.add_node("talk", talk)
    inner.add_edge(p.START, "talk")
    return single(p, inner.compile())


@case(*(Stream(START_INPUT, mode) for mode in ALL), Stream(START_INPUT, [*ALL]))
def every_stream_mode(p):
    return chain(p, "a", "b").compile(checkpointer=p.saver())


@case(
    *(Stream(START_INPUT, mode, options={"version": "v2"}) for mode in ALL),
    Stream(START_INPUT, [*ALL], options={"version": "v2", "subgraphs": True}),
    Invoke(START_INPUT, options={"version": "v2"}),
)
def every_stream_mode_of_version_two(p):
    builder = p.StateGraph(Items)
    builder.add_node("a", adder(p, "a"))
    builder.add_node("inner", chain(p, "x").compile())
    builder.add_edge(p.START, "a")
    builder.add_edge("a", "inner")
    return builder.compile(checkpointer=p.saver())


@case(Stream(START_INPUT, []), Stream(START_INPUT, ["values"]))
def odd_stream_modes(p):
    return chain(p, "a").compile(checkpointer=p.saver())


@case(Stream(START_INPUT, "nonsense"), differs=("unknown-stream-mode",))
def unknown_stream_mode(p):
    return chain(p, "a").compile(checkpointer=p.saver())


@case(
    Invoke(START_INPUT, options={"stream_mode": "updates"}),
    Invoke(START_INPUT, options={"stream_mode": ["updates", "values"]}),
    Invoke(START_INPUT, options={"output_keys": "items"}),
    Stream(START_INPUT, ["values", "updates"], options={"output_keys": ["n"]}),
    Stream(START_INPUT, ["values", "updates"], options={"output_keys": "items"}),
)
def modes_and_keys_of_invoke(p):
    return chain(p, "a", "b").compile(checkpointer=p.saver())


@case(
    Invoke({"steps": []}, config={"recursion_limit": 5}),
    Invoke({"steps": []}, config={"recursion_limit": 2}),
    differs=("tuples",),
)
def managed_values(p):
    class Managed(TypedDict):
        steps: Annotated[list, operator.add]
        last: p.IsLastStep
        remaining: p.RemainingSteps

    def step(state: Managed):
        p.note("step")
        return {"steps": [(state["last"], state["remaining"])]}

    builder = p.StateGraph(Managed)
    builder.add_node("step", step)
    builder.add_edge(p.START, "step")
    builder.add_conditional_edges("step", lambda state: "step" if state["remaining"] > 1 else p.END, ["step", p.END])
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), Stream(START_INPUT, [*ALL], ordered=False), Stored(), only="async")
def async_nodes(p):
    async def slow(state):
        p.note("slow")
        await asyncio.sleep(0.02)
        return {"items": ["slow"]}

    async def route(state):
        await asyncio.sleep(0)
        return "end"

    builder = p.StateGraph(Items)
    builder.add_node("slow", slow)
    builder.add_node("quick", adder(p, "quick"))
    builder.add_node("end", adder(p, "end"))
    builder.add_edge(p.START, "slow")
    builder.add_edge(p.START, "quick")
    builder.add_conditional_edges("slow", route, ["end"])
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), Stream(START_INPUT, ["updates", "values"]), State(), only="async")
def nodes_that_are_generators(p):
    def plain(state):
        yield {"items": ["not the last"]}
        yield {"items": ["plain"]}

    async def asynchronous(state):
        yield {"items": ["not the last"]}
        yield {"items": ["asynchronous"]}

    builder = p.StateGraph(Items).add_node("plain", plain).add_node("asynchronous", asynchronous)
    builder.add_edge(p.START, "plain").add_edge("plain", "asynchronous")
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), only="sync")
def async_node_invoked_synchronously(p):
    async def node(state):
        return {"items": ["never"]}

    return single(p, node)


@case(Invoke(START_INPUT), Stored())
def nodes_of_all_kinds(p):
    class Callable_:
        def __call__(self, state):
            return {"items": ["callable object"]}

    builder = p.StateGraph(Items)
    builder.add_node("callable", Callable_())
    builder.add_node("partial", functools.partial(lambda extra, state: {"items": [extra]}, "partial"))
    builder.add_edge(p.START, "callable")
    builder.add_edge("callable", "partial")
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), Stream(START_INPUT, "updates"))
def runnable_lambdas_as_nodes(p):
    from langchain_core.runnables import RunnableLambda

    builder = p.StateGraph(Items)
    builder.add_node("a", RunnableLambda(lambda state: {"items": ["a"]}))
    builder.add_node("b", RunnableLambda(lambda state: state["items"]) | (lambda items: {"items": [len(items)]}))
    builder.add_edge(p.START, "a")
    builder.add_edge("a", "b")
    return builder.compile(checkpointer=p.saver())


@case(
    Stream({"messages": [("user", "hi")]}, "messages"),
    Stream({"messages": [("user", "hi")]}, ["messages", "updates"]),
    Invoke({"messages": [("user", "hi")]}),
    State(),
)
def language_model_tokens(p):
    from langchain_core.language_models.fake_chat_models import FakeListChatModel

    model = FakeListChatModel(responses=["abc"])

    def call(state, config):
        return {"messages": [model.invoke(state["messages"], config)]}

    return single(p, call, state=p.MessagesState)


@case(
    Ask(lambda p, g: sorted((e.source, e.target, e.conditional) for e in g.get_graph().edges)),
    Ask(lambda p, g: sorted(g.get_graph().nodes)),
    only="sync",
)
def drawing(p):
    builder = p.StateGraph(Items)
    for name in "abc":
        builder.add_node(name, adder(p, name))
    builder.add_edge(p.START, "a")
    builder.add_conditional_edges("a", lambda state: "b", {"left": "b", "right": "c"})
    builder.add_edge("b", p.END)
    builder.add_edge("c", p.END)
    return builder.compile()


@case(
    Ask(lambda p, g: sorted(g.get_input_jsonschema()["properties"])),
    Ask(lambda p, g: sorted(g.get_output_jsonschema()["properties"])),
    Ask(lambda p, g: g.name),
    Ask(lambda p, g: sorted(name for name, _ in g.get_subgraphs())),
    only="sync",
)
def what_a_graph_says_of_itself(p):
    builder = chain(p, "a")
    builder.add_node("inner", chain(p, "x").compile(name="inner graph"))
    builder.add_edge("a", "inner")
    return builder.compile(name="outer graph")
