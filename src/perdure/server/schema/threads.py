"""What requests about threads and their states say."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from perdure.server.schema.common import (
    Body,
    Checkpoint,
    Command,
    Conflict,
    Limit,
    Metadata,
    Offset,
    SortOrder,
    Ttl,
    Uuid,
)


class StateChange(Body):
    """An update of a superstep of a new thread."""

    values: Any = None
    command: Command | None = None
    as_node: str | None = None


class Superstep(Body):
    """Updates that make one checkpoint."""

    updates: list[StateChange]


class ThreadCreate(Body):
    """A new thread."""

    thread_id: Uuid | None = None
    metadata: Metadata | None = None
    if_exists: Conflict = "raise"
    ttl: Ttl | None = None
    supersteps: list[Superstep] | None = None


class ThreadPatch(Body):
    """What changes of a thread."""

    metadata: Metadata | None = None
    ttl: Ttl | None = None


class MetadataPatch(Body):
    """What changes of a thread's metadata."""

    metadata: Metadata


class ThreadCount(Body):
    """Which threads."""

    ids: list[Uuid] | None = None
    metadata: Metadata | None = None
    values: dict[str, Any] | None = None
    status: Literal["idle", "busy", "interrupted", "error"] | None = None


class ThreadSearch(ThreadCount):
    """Which threads, and how many of them."""

    limit: Limit = 10
    offset: Offset = 0
    sort_by: Literal["thread_id", "status", "created_at", "updated_at", "state_updated_at"] = "updated_at"
    sort_order: SortOrder = "desc"
    select: list[str] | None = None
    extract: dict[str, str] | None = None


class ThreadPrune(Body):
    """Which threads to make smaller, and how."""

    thread_ids: Annotated[list[Uuid], Meta(max_length=1000)]
    strategy: Literal["delete", "keep_latest"] = "delete"


class StateUpdate(Body):
    """A change of a thread's state."""

    values: Any = None
    as_node: str | None = None
    checkpoint: Checkpoint | None = None
    checkpoint_id: str | None = None


class StateAt(Body):
    """Which state."""

    checkpoint: Checkpoint
    subgraphs: bool = False
    select: list[str] | None = None


class HistorySearch(Body):
    """Which states."""

    limit: Limit = 10
    before: str | Checkpoint | None = None
    metadata: Metadata | None = None
    checkpoint: Checkpoint | None = None
    select: list[str] | None = None
