"""`MessageGraph`: a graph whose whole state is a list of messages; `MessagesState` is the better way."""

from __future__ import annotations

from typing import Annotated, Any, cast

from perdure.graph.message import add_messages
from perdure.graph.state import StateGraph

__all__ = ["MessageGraph"]


class MessageGraph(StateGraph[Any, Any, Any, Any]):
    """A graph whose nodes take the list of messages, and return messages to add."""

    def __init__(self) -> None:
        super().__init__(cast("type[Any]", Annotated[list[Any], add_messages]))
