"""The graphs that the tests' servers serve; each run can be steered by its input."""

import asyncio
import operator
import os
import time
from pathlib import Path
from typing import Annotated

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import tool
from typing_extensions import TypedDict

from perdure.graph import END, START, StateGraph
from perdure.graph.message import add_messages
from perdure.prebuilt import create_react_agent
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


class Scripted(BaseChatModel):
    """A model that asks for the weather of each place in the question, then tells it, word by word."""

    @property
    def _llm_type(self):
        return "scripted"

    def bind_tools(self, tools, **kwargs):
        return self

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        whole = None
        for piece in self._stream(messages, stop, run_manager):
            whole = piece.message if whole is None else whole + piece.message
        made = AIMessage(whole.content, tool_calls=whole.tool_calls, usage_metadata=whole.usage_metadata)
        return ChatResult(generations=[ChatGeneration(message=made)])

    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        last = messages[-1]
        pieces = []
        if last.content == "fail":
            raise RuntimeError("the model is down")
        if last.type == "human":
            for index, place in enumerate(last.content.split()):
                for name, args in (("weather", ""), (None, '{"place":'), (None, f' "{place}"}}')):
                    call = {"name": name, "args": args, "id": name and f"call-{place}", "index": index}
                    pieces.append(AIMessageChunk("", tool_call_chunks=[call]))
        else:
            told = [message.content for message in messages if message.type == "tool"]
            pieces += [AIMessageChunk(f"{word} ") for word in told]
        usage = {"input_tokens": 3, "output_tokens": len(pieces), "total_tokens": 3 + len(pieces)}
        pieces.append(AIMessageChunk("", usage_metadata=usage, chunk_position="last"))
        for piece in pieces:
            yield ChatGenerationChunk(message=piece)


@tool
def weather(place: str) -> str:
    """Tell the weather."""
    if place == "nowhere":
        raise ValueError("there is no nowhere")
    return f"sunny-in-{place}"


agent = create_react_agent(Scripted(), [weather])


async def hear(state: Chat):
    await asyncio.sleep(0.5)
    return {"messages": [{"role": "ai", "content": f"heard {state['messages'][-1].content}"}]}


def sure(state: Chat):
    return {"messages": [{"role": "ai", "content": f"you said {interrupt('sure?')}"}]}


asking = StateGraph(Chat).add_node("sure", sure).add_edge(START, "sure").compile()
slow = StateGraph(Chat).add_node("hear", hear).add_edge(START, "hear").compile()


def work(state: State, runtime: Runtime):
    runtime.stream_writer({"name": "progress", "payload": {"done": 1}})
    runtime.stream_writer("raw")
    return {"items": ["worked"]}


def sleep_on(state: State):
    note(state, "sleeps")
    time.sleep(state["block"])
    return {"items": ["slept"]}


stuck = StateGraph(State).add_node("sleep_on", sleep_on).add_edge(START, "sleep_on").compile()

telling = StateGraph(State).add_node("work", work).add_edge(START, "work").compile()

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
