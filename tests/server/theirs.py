"""A small project of LangGraph's users, as it is, with a langgraph.json."""

import operator
from typing import Annotated, TypedDict

from langchain_core.messages import AIMessage, AnyMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.store.base import BaseStore
from langgraph.types import Command, Send, interrupt


class State(TypedDict):
    items: Annotated[list, operator.add]
    messages: Annotated[list[AnyMessage], add_messages]


async def plan(state: State, store: BaseStore):
    await store.aput(("seen",), "last", {"items": len(state["items"])})
    return Command(goto=[Send("work", {"items": [n]}) for n in range(3)])


def work(state: State):
    return {"items": [state["items"][0] * 10]}


def ask(state: State):
    return {"items": [interrupt({"question": "sure?"})], "messages": [AIMessage("done", id="m1")]}


builder = StateGraph(State).add_node("plan", plan, destinations=("work",)).add_node("work", work).add_node("ask", ask)
builder.add_edge(START, "plan").add_edge("work", "ask")
graph = builder.compile(checkpointer=InMemorySaver())


async def make(config):
    return builder
