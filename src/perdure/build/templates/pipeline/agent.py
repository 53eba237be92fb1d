"""A pipeline: one task an item, side by side, each result kept; what fails for a moment is tried again."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

from perdure.graph import START, StateGraph
from perdure.types import RetryPolicy, Send


class Batch(TypedDict, total=False):
    """The state: items that come in, a result of each, and the sum of them."""

    items: list[str]
    results: Annotated[list[dict[str, Any]], operator.add]
    report: dict[str, int]


def spread(state: Batch) -> list[Send]:
    """Start a task an item."""
    return [Send("work", {"item": item}) for item in state["items"]]


def work(state: dict[str, str]) -> Batch:
    """Do the work of one item: count its words. The result is stored before the next step begins."""
    return {"results": [{"item": state["item"], "words": len(state["item"].split())}]}


def report(state: Batch) -> Batch:
    """Put the results together."""
    results = state.get("results", [])
    return {"report": {"items": len(results), "words": sum(each["words"] for each in results)}}


graph = (
    StateGraph(Batch)
    .add_node(work, retry_policy=RetryPolicy(max_attempts=3))
    .add_node(report)
    .add_conditional_edges(START, spread, ["work"])
    .add_edge("work", "report")
    .compile()
)
