"""Names of the reserved channels that pending writes use, and the shapes the serializer knows."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

ERROR = "__error__"
SCHEDULED = "__scheduled__"
INTERRUPT = "__interrupt__"
RESUME = "__resume__"
TASKS = "__pregel_tasks"


@runtime_checkable
class SendProtocol(Protocol):
    """What makes a value a send: a node's name and the argument for it."""

    node: str
    arg: Any
