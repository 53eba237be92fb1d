"""The graphs and savers that are measured; one function serves both packages, for their names are the same."""

import hashlib
import operator
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from typing import Annotated, Any

from typing_extensions import TypedDict


class Chain(TypedDict):
    items: Annotated[list, operator.add]
    n: int


class Count(TypedDict):
    n: int


class Whole(TypedDict):
    value: Any
    n: int


def text(n: int, size: int = 1000) -> str:
    """Return hexadecimal text that doesn't repeat: 4 bits a character."""
    return hashlib.shake_128(str(n).encode()).hexdigest(size // 2)


def message(n: int) -> dict[str, str]:
    return {"role": "user", "content": text(n)}


def looping(package: str, schema: type, step: Any, k: int, saver: Any) -> Any:
    """Return a graph of one node that a conditional edge repeats k times."""
    graph = import_module(f"{package}.graph")
    builder = graph.StateGraph(schema)
    builder.add_node("step", step)
    builder.add_edge(graph.START, "step")
    builder.add_conditional_edges("step", lambda state: "step" if state["n"] < k else graph.END, ["step", graph.END])
    return builder.compile(checkpointer=saver)


def chain(package: str, k: int, saver: Any = None) -> Any:
    def step(state: Chain) -> dict[str, Any]:
        return {"items": [message(state["n"])], "n": state["n"] + 1}

    return looping(package, Chain, step, k, saver)


def counter(package: str, k: int, saver: Any = None) -> Any:
    return looping(package, Count, lambda state: {"n": state["n"] + 1}, k, saver)


def fan_out(package: str, width: int, saver: Any = None) -> Any:
    graph, send = import_module(f"{package}.graph"), import_module(f"{package}.types").Send
    builder = graph.StateGraph(Chain)
    builder.add_node("work", lambda state: {"items": [state["n"]]})
    builder.add_conditional_edges(graph.START, lambda _: [send("work", {"n": i}) for i in range(width)], ["work"])
    return builder.compile(checkpointer=saver)


def messages(count: int) -> list[dict[str, str]]:
    return [message(n) for n in range(count)]


def mutated(value: list[dict[str, str]], n: int) -> list[dict[str, str]]:
    """Change an old message in place, and append one: the list is the same object."""
    value[n * 7 % 300]["role"] = f"user {n}"
    value.append(message(1000 + n))
    return value


EDITS: dict[str, tuple[Callable[[], Any], Callable[[Any, int], Any], int]] = {
    "append": (list, lambda value, n: [*value, message(n)], 1000),
    "window": (lambda: messages(50), lambda value, n: [*value[1:], message(50 + n)], 1000),
    "trim": (lambda: messages(300), lambda value, _: value[1:], 1000),
    "middle": (lambda: messages(300), lambda value, n: [*value[:150], message(1000 + n), *value[151:]], 1000),
    "keys": (
        lambda: {f"key {n}": text(n, 100) for n in range(1000)},
        lambda value, n: {**value, f"key {n * 7 % 1000}": text(5000 + n, 100)},
        100,
    ),
    "string": (str, lambda value, n: value + text(n, 40), 40),
    "int": (int, lambda value, _: value + 1, 8),
    "mutate": (lambda: messages(300), mutated, 1010),
}
"""By pattern: the first value, what a step makes of the last one, and the bytes that this changes."""


def edits(package: str, kind: str, k: int, saver: Any) -> tuple[Any, dict[str, Any], int]:
    """Return a graph that edits one value a step, its input, and the bytes that change in a step."""
    start, edit, changed = EDITS[kind]

    def step(state: Whole) -> dict[str, Any]:
        return {"value": edit(state["value"], state["n"]), "n": state["n"] + 1}

    return looping(package, Whole, step, k, saver), {"value": start(), "n": 0}, changed


def memory_saver(package: str) -> Any:
    return import_module(f"{package}.checkpoint.memory").InMemorySaver()


@contextmanager
def sqlite_saver(package: str, path: str, synchronous: str) -> Iterator[Any]:
    """Open a saver in WAL mode, with the same durability on both sides."""
    cls = import_module(f"{package}.checkpoint.sqlite").SqliteSaver
    if package == "perdure":
        with cls.from_conn_string(path, synchronous=synchronous) as saver:
            saver.setup()
            yield saver
        return
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    saver = cls(connection)
    saver.setup()
    yield saver
    connection.close()


def for_langgraph(saver: Any) -> Any:
    """Return a saver of perdure's as LangGraph's graphs take one."""
    return import_module("perdure.interop.langgraph").to_langgraph(saver)


@asynccontextmanager
async def async_sqlite_saver(package: str, path: str, synchronous: str) -> AsyncIterator[Any]:
    cls = import_module(f"{package}.checkpoint.sqlite.aio").AsyncSqliteSaver
    if package == "perdure":
        async with cls.from_conn_string(path, synchronous=synchronous) as saver:
            yield saver
        return
    async with cls.from_conn_string(path) as saver:
        await saver.setup()
        await saver.conn.execute(f"PRAGMA synchronous={synchronous}")
        yield saver


def config(thread: str, k: int = 0) -> dict[str, Any]:
    return {"configurable": {"thread_id": thread}, "recursion_limit": k + 10}
