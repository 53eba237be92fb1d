"""What requests that only perdure knows say."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from perdure.server.schema.common import Body, Limit, Metadata, Offset, RunStatus, Uuid


class ThreadLook(Body):
    """Which threads, the latest change first.

    Attributes:
        words: Each is somewhere in the id, the status, the metadata or the error; capital A to Z is as small.
    """

    words: Annotated[list[str], Meta(max_length=20)] | None = None
    ids: list[Uuid] | None = None
    metadata: Metadata | None = None
    status: Literal["idle", "busy", "interrupted", "error"] | None = None
    limit: Limit = 50
    offset: Offset = 0


class RunLook(Body):
    """Which runs of all threads, the newest first."""

    status: RunStatus | None = None
    graph_id: str | None = None
    queue: str | None = None
    limit: Limit = 50
    offset: Offset = 0
