"""The engine: plans run in supersteps, each a durable checkpoint."""

from perdure.pregel.graph import Pregel

__all__ = ["Pregel"]
