"""The engine: plans run in supersteps, each a durable checkpoint."""

from perdure.pregel.main import Pregel
from perdure.pregel.nodes import ChannelWriteEntry, NodeBuilder

__all__ = ["ChannelWriteEntry", "NodeBuilder", "Pregel"]
