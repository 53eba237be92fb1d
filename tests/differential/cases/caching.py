"""Nodes and tasks with a cache policy."""

from tests.differential.actions import Invoke, State, Stored, Stream
from tests.differential.cases.building import START_INPUT, Items
from tests.differential.scenario import case

MODES = ("updates", "tasks", "values")


def thread(name):
    return {"configurable": {"thread_id": name}}


@case(
    Stream(START_INPUT, mode=MODES, ordered=False),
    Stored(),
    Stream(START_INPUT, mode=MODES, ordered=False, config=thread("u")),
    Invoke(START_INPUT, config=thread("v")),
    Invoke({"items": ["other"]}, config=thread("w")),
    State(),
)
def cached_node(p):
    def node(state):
        p.note("node")
        return {"items": [len(state["items"])]}

    builder = p.StateGraph(Items)
    builder.add_node("node", node, cache_policy=p.CachePolicy())
    builder.add_node("beside", lambda state: {"items": ["beside"]})
    builder.add_edge(p.START, "node")
    builder.add_edge(p.START, "beside")
    return builder.compile(checkpointer=p.saver(), cache=p.InMemoryCache())


@case(Stream(2, mode=MODES, ordered=False), Stream(2, mode=MODES, ordered=False, config=thread("u")), Invoke(3))
def cached_task(p):
    @p.task(cache_policy=p.CachePolicy(ttl=60))
    def double(x):
        p.note("double")
        return 2 * x

    @p.entrypoint(checkpointer=p.saver(), cache=p.InMemoryCache())
    def flow(x):
        return double(x).result()

    return flow
