"""Mistakes that a type checker must catch; each line's error is asserted by `test_typing.py`."""

from typing import TypedDict

from perdure.checkpoint.memory import InMemorySaver
from perdure.func import task
from perdure.graph import START, StateGraph
from perdure.types import RetryPolicy


class State(TypedDict):
    n: int


builder = StateGraph(State).add_node("a", lambda state: None).add_edge(START, "a")
builder.compile(checkpointer=InMemorySaver)  # the class, not an object
builder.compile(busy="often")  # no such policy
RetryPolicy(max_attempts="3")  # not a number
builder.compile().invoke({}, durability="never")  # no such durability


@task
def add(x: int) -> int:
    return x


add("one")  # not a number
text: str = add(1).result()  # a number
