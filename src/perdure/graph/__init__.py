"""Build graphs: nodes, edges and a shared state."""

from perdure.constants import END, START
from perdure.graph.message import MessagesState, add_messages
from perdure.graph.state import StateGraph

__all__ = ["END", "START", "MessagesState", "StateGraph", "add_messages"]


def __getattr__(name: str) -> object:
    if name == "MessageGraph":  # rarely wanted, so it isn't read before
        from perdure.graph.message_graph import MessageGraph

        return MessageGraph
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
