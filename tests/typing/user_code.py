"""What users write, as a type checker sees it; `test_typing.py` runs mypy and pyright on this file."""

import operator
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

from pydantic import BaseModel

from perdure.cache.memory import InMemoryCache
from perdure.checkpoint.memory import InMemorySaver
from perdure.errors import NodeError
from perdure.func import entrypoint, task
from perdure.graph import END, START, MessagesState, StateGraph, add_messages
from perdure.graph.state import CompiledStateGraph
from perdure.runtime import Runtime
from perdure.store.base import Item
from perdure.store.memory import InMemoryStore
from perdure.types import (
    CachePolicy,
    Command,
    Interrupt,
    RetryPolicy,
    RunnableConfig,
    Send,
    StateSnapshot,
    TimeoutPolicy,
    interrupt,
)


class State(TypedDict):
    items: Annotated[list[str], operator.add]
    n: int


@dataclass
class Data:
    n: int = 0
    items: Annotated[list[str], operator.add] = field(default_factory=list)


class Model(BaseModel):
    n: int = 0


@dataclass
class Context:
    user: str


def plain(state: State) -> dict[str, Any]:
    return {"items": [str(state["n"])]}


async def coloured(state: State, config: RunnableConfig, runtime: Runtime[Context]) -> dict[str, Any]:
    who: str = runtime.context.user
    return {"items": [who]}


def jump(state: State) -> Command[str]:
    answer = interrupt({"question": "sure?"})
    return Command(update={"items": [str(answer)]}, goto=END)


def route(state: State) -> list[Send]:
    return [Send("plain", {"n": n, "items": []}) for n in range(state["n"])]


builder = StateGraph(State, context_schema=Context)
builder.add_node("plain", plain, retry_policy=RetryPolicy(max_attempts=2))
builder.add_node(coloured)
builder.add_node("jump", jump)
builder.add_conditional_edges(START, route, ["plain"])
builder.add_edge(["plain"], "coloured").add_edge("coloured", "jump")
graph = builder.compile(checkpointer=InMemorySaver())
config: RunnableConfig = {"configurable": {"thread_id": "1"}}
result = graph.invoke({"items": [], "n": 2}, config, context=Context(user="me"))
snapshot: StateSnapshot = graph.get_state(config)
asked: tuple[Interrupt, ...] = snapshot.interrupts
for chunk in graph.stream(Command(resume="yes"), config, stream_mode=["values", "updates"]):
    print(chunk)

of_data: CompiledStateGraph[Data] = StateGraph(Data).add_node("a", lambda s: {"n": s.n}).add_edge(START, "a").compile()
of_model = StateGraph(Model).add_node("a", lambda s: {"n": s.n + 1}).add_edge(START, "a").compile()
of_messages = StateGraph(MessagesState)
merged = add_messages([], [{"role": "user", "content": "hi"}])


@task
def add(x: int, y: int = 1) -> int:
    return x + y


@task(name="later", retry_policy=RetryPolicy())
async def later(text: str) -> str:
    return text


@entrypoint(checkpointer=InMemorySaver(), store=InMemoryStore())
def workflow(value: int, *, previous: int | None, runtime: Runtime[Any]) -> entrypoint.final[str, int]:
    total: int = add(value, y=2).result() + (previous or 0)
    length: int = runtime.step("length", len, "text")
    return entrypoint.final(value=str(total), save=length)


async def coroutine(state: State, runtime: Runtime[Any]) -> dict[str, Any]:
    text: str = await later("x")
    found = await runtime.store.aget(("users",), "k")
    return {"items": [text, found]}


def sorry(state: State, error: NodeError) -> Command[str]:
    return Command(update={"items": [str(error.error)]}, goto=END)


builder.add_node("guarded", plain, error_handler=sorry, cache_policy=CachePolicy(ttl=5))
builder.set_node_defaults(timeout=TimeoutPolicy(idle_timeout=5), error_handler=sorry)
guarded = builder.compile(cache=InMemoryCache(), store=InMemoryStore(ttl={"default_ttl": 5}))
for thread_id, output, error in graph.resume_all(failed=True):
    print(thread_id.upper(), output, error)
item: Item | None = InMemoryStore().get(("a",), "k")


async def main() -> None:
    out = await graph.ainvoke({"items": [], "n": 1}, config)
    async for part in graph.astream(None, config, version="v2"):
        print(part["type"], out)
