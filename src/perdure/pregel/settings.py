"""What a call fixes for a whole run, and what its config adds to the checkpoints' metadata."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from perdure.constants import CONF
from perdure.pregel.stream import SILENT, Sink
from perdure.types import RunnableConfig

if TYPE_CHECKING:
    from perdure.checkpoint.base import BaseCheckpointSaver
    from perdure.pregel.plan import Plan
    from perdure.pregel.scope import TaskScope
    from perdure.runtime import RunControl, ServerInfo
    from perdure.types import All, Durability


class Settings(NamedTuple):
    """What a call fixes for a whole run.

    Attributes:
        config: The caller's config, merged with the graph's defaults.
        thread_id: The thread, if there is a saver.
        ns: The checkpoint namespace.
        checkpoint_id: The checkpoint that the caller addressed, if any.
        limit: Supersteps that the run may take.
        step_timeout: Seconds that a superstep may take.
        observer: Who is told of the run as it goes.
        stable: Whether it is a subgraph with a memory over calls.
        parent: The task that called the graph, if it is a subgraph.
        owns_sink: Whether this run's driver hands out the sink's events.
    """

    plan: Plan
    config: RunnableConfig
    saver: BaseCheckpointSaver[Any] | None
    thread_id: str | None
    ns: str
    checkpoint_id: str | None
    limit: int
    durability: Durability
    stable: bool
    output_keys: str | list[str]
    interrupt_before: All | Sequence[str]
    interrupt_after: All | Sequence[str]
    context: Any
    store: Any
    control: RunControl | None
    cache: Any
    parent: TaskScope | None
    sink: Sink = SILENT
    owns_sink: bool = True
    server_info: ServerInfo | None = None
    step_timeout: float | None = None
    observer: Any = None


_SCALARS = (str, int, bool, float)
_NOT_METADATA = frozenset({"thread_id", "checkpoint_id", "checkpoint_ns", "checkpoint_map"})


def metadata_extra(config: RunnableConfig) -> dict[str, Any]:
    """Return what a caller's config adds to its checkpoints' metadata: its metadata and its scalar parameters."""
    found: dict[str, Any] = {}
    if run_id := config.get("run_id"):
        found["run_id"] = str(run_id)
    for source in (config.get("metadata") or {}, config.get(CONF) or {}):
        for key, value in source.items():
            if key in found or key in _NOT_METADATA or key.startswith(("__", "langgraph_")):
                continue
            if isinstance(value, _SCALARS):
                found[key] = value.replace("\x00", "") if isinstance(value, str) else value
    return found
