"""What requests about crons say."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import UNSET, UnsetType

from perdure.server.schema.common import Body, Config, Limit, Metadata, Nodes, Offset, SortOrder, StreamMode, Uuid
from perdure.server.schema.runs import RunFields


class CronCreate(RunFields, kw_only=True):
    """A new cron.

    Attributes:
        schedule: Five fields: minute, hour, day of the month, month, day of the week.
        timezone: Its IANA name; UTC if None.
    """

    schedule: str
    timezone: str | None = None
    end_time: datetime | None = None
    enabled: bool = True
    on_run_completed: Literal["delete", "keep"] | None = None


class CronPatch(Body):
    """What changes of a cron."""

    schedule: str | None = None
    timezone: str | None = None
    end_time: datetime | None | UnsetType = UNSET
    enabled: bool | None = None
    on_run_completed: Literal["delete", "keep"] | None = None
    input: Any = UNSET
    metadata: Metadata | None = None
    config: Config | None = None
    context: dict[str, Any] | None = None
    webhook: str | None = None
    interrupt_before: Nodes | None = None
    interrupt_after: Nodes | None = None
    stream_mode: StreamMode | list[StreamMode] | None = None
    stream_subgraphs: bool | None = None
    stream_resumable: bool | None = None
    durability: Literal["sync", "async", "exit"] | None = None


class CronCount(Body):
    """Which crons."""

    assistant_id: str | None = None
    thread_id: Uuid | None = None
    enabled: bool | None = None
    metadata: Metadata | None = None


class CronSearch(CronCount):
    """Which crons, and how many of them."""

    limit: Limit = 10
    offset: Offset = 0
    sort_by: Literal[
        "cron_id", "assistant_id", "thread_id", "created_at", "updated_at", "next_run_date", "end_time"
    ] = "created_at"
    sort_order: SortOrder = "desc"
    select: list[str] | None = None
