"""The graphs that the tests' servers serve; each run can be steered by its input."""

import asyncio
import operator
import os
import time
from pathlib import Path
from typing import Annotated

from langchain_core.messages import AnyMessage
from typing_extensions import TypedDict

from perdure.graph import END, START, StateGraph
from perdure.graph.message import add_messages
from perdure.runtime import Runtime
from perdure.types import Command, Send, interrupt


class State(TypedDict, total=False):
    items: Annotated[list, operator.add]
    sleep: float
    block: float
    fail: str
    ask: list
    log: str
    steps: int


def note(state: State, label: str) -> None:
    if state.get("log"):
        with Path(state["log"]).open("a") as log:
            print(label, os.getpid(), file=log, flush=True)


async def first(state: State):
    note(state, "first")
    return {"items": ["first"]}


async def second(state: State, runtime: Runtime):
    note(state, "second")
    runtime.stream_writer({"at": "second"})
    await asyncio.sleep(state.get("sleep") or 0)
    time.sleep(state.get("block") or 0)  # noqa: ASYNC251 - what users do, too
    if state.get("fail"):
        raise ValueError(state["fail"])
    answers = [interrupt(question) for question in state.get("ask") or ()]
    return {"items": [*answers, "second"], "ask": [], "fail": "", "sleep": 0, "block": 0}


def line():
    builder = StateGraph(State).add_node("first", first).add_node("second", second)
    return builder.add_edge(START, "first").add_edge("first", "second")


async def tick(state: State):
    note(state, f"tick {len(state['items'])}")
    await asyncio.sleep(state.get("sleep") or 0)
    return {"items": [len(state["items"])]}


def more(state: State):
    return "tick" if len(state["items"]) < state["steps"] else END


looping = StateGraph(State).add_node("tick", tick).add_edge(START, "tick").add_conditional_edges("tick", more)


class Context(TypedDict, total=False):
    name: str


async def greet(state: State, runtime: Runtime[Context]):
    info = runtime.server_info
    return {"items": [dict(runtime.context or {}).get("name"), info is not None and info.graph_id]}


greeting = StateGraph(State, context_schema=Context).add_node("greet", greet).add_edge(START, "greet").compile()


class Chat(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


def answer(state: Chat):
    return {"messages": [{"role": "ai", "content": f"you said {state['messages'][-1].content}", "id": "a"}]}


chat = StateGraph(Chat).add_node("answer", answer).add_edge(START, "answer").compile()

inner = line().compile()


def make_nested(config):
    builder = StateGraph(State).add_node("inner", inner).add_edge(START, "inner")
    tag = config["configurable"].get("tag")
    if tag:
        builder.add_node("tagged", lambda state: {"items": [tag]}).add_edge("inner", "tagged")
    return builder.compile()


async def spread(state: State):
    return Command(goto=[Send("leaf", {"items": [n]}) for n in range(3)])


async def leaf(state: State):
    return {"items": [state["items"][0] * 10]}


fan = StateGraph(State).add_node("spread", spread, destinations=("leaf",)).add_node("leaf", leaf)
fan = fan.add_edge(START, "spread").compile()

graph = line().compile()
