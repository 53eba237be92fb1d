"""Build graphs: nodes, edges and a shared state."""

from perdure.constants import END, START
from perdure.graph.message import MessagesState, add_messages
from perdure.graph.state import StateGraph

__all__ = ["END", "START", "MessagesState", "StateGraph", "add_messages"]
