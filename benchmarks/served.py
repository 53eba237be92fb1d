"""The two-node graph that the servers under test serve; `PACKAGE` says whose it is."""

import operator
import os
from importlib import import_module
from typing import Annotated, TypedDict

graph_module = import_module(f"{os.environ.get('PACKAGE', 'perdure')}.graph")


class State(TypedDict):
    items: Annotated[list, operator.add]


async def first(state: State):
    return {"items": ["first"]}


async def second(state: State):
    return {"items": ["second"]}


builder = graph_module.StateGraph(State).add_node("first", first).add_node("second", second)
graph = builder.add_edge(graph_module.START, "first").add_edge("first", "second").compile()
