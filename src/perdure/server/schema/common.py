"""What the bodies of several resources say."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct

Uuid = Annotated[str, Meta(pattern="^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$")]
Limit = Annotated[int, Meta(ge=1, le=1000)]
LARGEST = 2**63 - 1
"""Of the numbers that databases hold."""

Offset = Annotated[int, Meta(ge=0, le=LARGEST)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
Minutes = Annotated[float, Meta(gt=0, le=1e8)]
Metadata = dict[str, Any]
SortOrder = Literal["asc", "desc"]
Conflict = Literal["raise", "do_nothing"]
RunStatus = Literal["pending", "running", "error", "success", "timeout", "interrupted"]
StreamMode = Literal[
    "values", "messages", "updates", "events", "tasks", "checkpoints", "debug", "custom", "messages-tuple", "tools",
    "lifecycle",
]  # fmt: skip
Nodes = Literal["*"] | list[str]
Action = Literal["interrupt", "rollback"]


class Body(Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of a request."""


class Config(Body):
    """A run's config. `callbacks` and the like belong to a process, and can't be sent."""

    tags: list[str] | None = None
    recursion_limit: Annotated[int, Meta(ge=1, le=LARGEST)] | None = None
    configurable: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    max_concurrency: Annotated[int, Meta(ge=1, le=LARGEST)] | None = None
    run_name: str | None = None


class Ttl(Body):
    """How long a thread lives after its last change.

    Attributes:
        ttl: Minutes.
        strategy: What is deleted then: the thread, or all but its newest state.
    """

    ttl: Minutes
    strategy: Literal["delete", "keep_latest"] = "delete"


class Checkpoint(Body):
    """Addresses a checkpoint."""

    thread_id: str | None = None
    checkpoint_ns: str | None = None
    checkpoint_id: str | None = None
    checkpoint_map: dict[str, Any] | None = None


class SendTo(Body):
    """A task for a node, with an input of its own."""

    node: str
    input: Any = None


class Command(Body):
    """An instruction to the graph."""

    update: Any = None
    resume: Any = UNSET
    goto: str | SendTo | list[str | SendTo] | None = None
    graph: str | None = None


class LangsmithTracer(Body):
    """Accepted, without effect: runs are told to OpenTelemetry."""

    project_name: str | None = None
    example_id: str | None = None
