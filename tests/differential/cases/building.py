"""Small parts that many cases are built from."""

import operator
from collections.abc import Callable
from typing import Annotated, Any

from typing_extensions import TypedDict


class Items(TypedDict):
    """A list that grows and a number that is replaced."""

    items: Annotated[list, operator.add]
    n: int


def adder(p: Any, name: str, **update: Any) -> Callable[[Any], Any]:
    """Return a node that notes that it ran and appends its name to the items."""

    def node(state: Any) -> dict[str, Any]:
        p.note(name)
        return {"items": [name], **update}

    return node


def chain(p: Any, *names: str, state: type = Items) -> Any:
    """Return a builder with a sequence of adders."""
    builder = p.StateGraph(state)
    for name in names:
        builder.add_node(name, adder(p, name))
    for first, second in zip((p.START, *names), (*names, p.END), strict=True):
        builder.add_edge(first, second)
    return builder


START_INPUT = {"items": ["in"], "n": 0}
