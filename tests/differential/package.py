"""One of the two packages under comparison: the same names, looked up in the same places."""

from importlib import import_module
from types import ModuleType
from typing import Any

_PLACES = {
    "graph": "StateGraph START END",
    "graph.message": "add_messages MessagesState",
    "types": "Send Command interrupt Interrupt RetryPolicy CachePolicy Overwrite StateUpdate StateSnapshot",
    "cache.memory": "InMemoryCache",
    "channels": "AnyValue EphemeralValue LastValue BinaryOperatorAggregate Topic UntrackedValue NamedBarrierValue",
    "config": "get_config get_stream_writer",
    "runtime": "Runtime",
    "managed": "IsLastStep RemainingSteps",
    "func": "entrypoint task",
    "checkpoint.memory": "InMemorySaver",
    "pregel": "Pregel NodeBuilder",
    "errors": "GraphRecursionError GraphInterrupt InvalidUpdateError ParentCommand",
}
_HOME = {name: module for module, names in _PLACES.items() for name in names.split()}


class Package:
    """Resolves the public names of `langgraph` or `perdure`, and notes which nodes ran."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ran: list[str] = []
        self.scratch: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        try:
            place = _HOME[name]
        except KeyError:
            raise AttributeError(name) from None
        return getattr(self.module(place), name)

    def module(self, path: str) -> ModuleType:
        return import_module(f"{self.name}.{path}")

    def saver(self) -> Any:
        return self.InMemorySaver()

    def note(self, label: str) -> None:
        """Record that a node ran: running a finished node again is a difference."""
        self.ran.append(label)

    def count(self, label: str) -> int:
        """Return how often `label` was counted before, for nodes that behave differently the second time."""
        before = self.scratch.get(label, 0)
        self.scratch[label] = before + 1
        return before
