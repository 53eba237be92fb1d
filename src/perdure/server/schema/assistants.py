"""What requests about assistants say."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from perdure.server.schema.common import LARGEST, Body, Config, Conflict, Limit, Metadata, Offset, SortOrder, Uuid


class AssistantCreate(Body):
    """A new assistant."""

    graph_id: str
    assistant_id: Uuid | None = None
    config: Config | None = None
    context: dict[str, Any] | None = None
    metadata: Metadata | None = None
    if_exists: Conflict = "raise"
    name: str | None = None
    description: str | None = None


class AssistantPatch(Body):
    """What a new version of an assistant has of its own."""

    graph_id: str | None = None
    config: Config | None = None
    context: dict[str, Any] | None = None
    metadata: Metadata | None = None
    name: str | None = None
    description: str | None = None


class AssistantCount(Body):
    """Which assistants."""

    metadata: Metadata | None = None
    graph_id: str | None = None
    name: str | None = None


class AssistantSearch(AssistantCount):
    """Which assistants, and how many of them."""

    limit: Limit = 10
    offset: Offset = 0
    sort_by: Literal["assistant_id", "graph_id", "name", "created_at", "updated_at"] = "created_at"
    sort_order: SortOrder = "desc"
    select: list[str] | None = None


class VersionSearch(Body):
    """Which versions of an assistant."""

    metadata: Metadata | None = None
    limit: Limit = 10
    offset: Offset = 0


class LatestVersion(Body):
    """Which version is to be the latest."""

    version: Annotated[int, Meta(ge=1, le=LARGEST)]
