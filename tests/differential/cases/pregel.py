"""Graphs made by hand of channels and nodes: `Pregel` and `NodeBuilder`; the time of a superstep."""

import asyncio

from tests.differential.actions import History, Invoke, State, Stored, Stream, Update
from tests.differential.cases.building import START_INPUT, Items
from tests.differential.scenario import case

MODES = ("updates", "values", "tasks")


def doubling(p):
    return p.NodeBuilder().subscribe_only("a").do(lambda x: x + x).write_to("b")


def last_values(p, names):
    return {name: p.LastValue(str) for name in names}


@case(Stream({"a": "foo"}, mode=MODES), Invoke({"a": "x"}), Invoke({"unknown": 1}), Invoke(None))
def one_node_between_channels(p):
    channels = {"a": p.EphemeralValue(str), "b": p.EphemeralValue(str)}
    return p.Pregel(
        nodes={"one": doubling(p)},
        channels=channels,
        input_channels=["a"],
        output_channels=["b"],
        checkpointer=p.saver(),
    )


@case(Invoke("foo"), State(), History(), Stored(), Update("zz", as_node="one"), Invoke(None), Stream("q", mode=MODES))
def a_row_of_nodes(p):
    two = p.NodeBuilder().subscribe_only("b").do(lambda x: x + "!").write_to("c", d=lambda x: x + "?", e=5)
    three = (
        p.NodeBuilder()
        .subscribe_to("b", "c")
        .read_from("e")
        .do(sorted)
        .do(",".join)
        .write_to("f")
        .meta("a tag", why="because")
    )
    return p.Pregel(
        nodes={"one": doubling(p), "two": two, "three": three},
        channels={
            **last_values(p, "abcf"),
            "d": p.BinaryOperatorAggregate(str, lambda x, y: x + y),
            "e": p.LastValue(int),
        },
        input_channels="a",
        output_channels=["c", "d", "f"],
        checkpointer=p.saver(),
    )


@case(Invoke({"value": "a"}), Stream({"value": "a"}))
def a_loop_that_ends_by_writing_nothing(p):
    entry = p.module("pregel._write" if p.name == "langgraph" else "pregel").ChannelWriteEntry
    node = p.NodeBuilder().subscribe_only("value").do(lambda x: x + x if len(x) < 10 else None)
    return p.Pregel(
        nodes={"node": node.write_to(entry("value", skip_none=True))},
        channels={"value": p.EphemeralValue(str)},
        input_channels=["value"],
        output_channels=["value"],
        checkpointer=p.saver(),
    )


@case(Invoke("q"), State())
def a_node_that_reads_what_does_not_start_it(p):
    node = p.NodeBuilder().subscribe_to("b", read=False).read_from("a").do(repr).write_to("c")
    return p.Pregel(
        nodes={"one": doubling(p), "node": node},
        channels=last_values(p, "abc"),
        input_channels="a",
        output_channels="c",
        checkpointer=p.saver(),
    )


@case(Invoke("q"), State())
def no_action_passes_the_input_on(p):
    return p.Pregel(
        nodes={"node": p.NodeBuilder().subscribe_only("a").write_to("b")},
        channels=last_values(p, "ab"),
        input_channels="a",
        output_channels="b",
        checkpointer=p.saver(),
    )


@case(Invoke("q"))
def channel_that_is_not_there(p):
    return p.Pregel(
        nodes={"node": p.NodeBuilder().subscribe_only("nowhere").write_to("b")},
        channels=last_values(p, "ab"),
        input_channels="a",
        output_channels="b",
    )


@case(Invoke("q"))
def single_channel_and_more(p):
    return p.NodeBuilder().subscribe_only("a").subscribe_to("b")


@case(Invoke(START_INPUT), only="async")
def superstep_that_takes_too_long(p):
    async def fast(state):
        return {"items": ["fast"]}

    async def slow(state):
        await asyncio.sleep(10)

    builder = p.StateGraph(Items).add_node("fast", fast).add_node("slow", slow)
    graph = builder.add_edge(p.START, "fast").add_edge(p.START, "slow").compile(checkpointer=p.saver())
    graph.step_timeout = 0.5
    return graph


@case(
    Stream(START_INPUT, mode=("tasks", "debug"), config={"tags": ["t"], "metadata": {"u": 2}}),
    Stream(START_INPUT, mode="debug"),
)
def tasks_with_metadata(p):
    builder = p.StateGraph(Items).add_node("n", lambda state: {"items": ["n"]}, metadata={"why": 1})
    return builder.add_node("m", lambda state: None).add_edge(p.START, "n").add_edge("n", "m").compile()
