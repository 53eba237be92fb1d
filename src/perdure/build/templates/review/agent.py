"""A review: a draft waits for a person, for days if need be, and is published or written again."""

from __future__ import annotations

from typing import Literal, TypedDict

from perdure.graph import END, START, StateGraph
from perdure.types import Command, interrupt


class Review(TypedDict, total=False):
    """The state.

    Attributes:
        topic: What is written about; the input.
        draft: The text as it is.
        remarks: What the reviewer said so far.
        published: The text that was accepted.
    """

    topic: str
    draft: str
    remarks: list[str]
    published: str


def write(state: Review) -> Review:
    """Write a draft, with the remarks in it. A model would go here."""
    remarks = state.get("remarks", [])
    return {"draft": f"On {state['topic']}." + "".join(f" Now with: {remark}." for remark in remarks)}


def ask(state: Review) -> Command[Literal["write", "publish"]]:
    """Wait for a person: `true` publishes, a text is a remark for the next draft."""
    decision = interrupt({"question": "publish this?", "draft": state["draft"]})
    if decision is True:
        return Command(goto="publish")
    return Command(goto="write", update={"remarks": [*state.get("remarks", []), str(decision)]})


def publish(state: Review) -> Review:
    """Publish the draft."""
    return {"published": state["draft"]}


graph = (
    StateGraph(Review)
    .add_node(write)
    .add_node(ask)
    .add_node(publish)
    .add_edge(START, "write")
    .add_edge("write", "ask")
    .add_edge("publish", END)
    .compile()
)
