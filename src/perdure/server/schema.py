"""What requests say: one Struct a body. Fields that aren't here are refused by name; nothing is dropped in silence."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

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


# -- assistants


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


# -- threads


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

    thread_ids: list[Uuid]
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


# -- runs


class RunFields(Body):
    """What runs and crons have in common."""

    assistant_id: str
    input: Any = None
    metadata: Metadata | None = None
    config: Config | None = None
    context: dict[str, Any] | None = None
    webhook: str | None = None
    interrupt_before: Nodes | None = None
    interrupt_after: Nodes | None = None
    stream_mode: StreamMode | list[StreamMode] = "values"
    stream_subgraphs: bool = False
    stream_resumable: bool = False
    durability: Literal["sync", "async", "exit"] | None = None
    checkpoint_during: bool | None = None
    multitask_strategy: Literal["reject", "interrupt", "rollback", "enqueue"] | None = None


class RunCreate(RunFields):
    """A new run.

    Attributes:
        priority: The higher, the sooner it is taken of those that wait.
        queue: One of the configuration's queues; the graph's own by default.
    """

    command: Command | None = None
    checkpoint: Checkpoint | None = None
    checkpoint_id: str | None = None
    feedback_keys: list[str] | None = None
    if_not_exists: Literal["create", "reject"] = "reject"
    on_completion: Literal["delete", "keep"] | None = None
    on_disconnect: Literal["cancel", "continue"] | None = None
    after_seconds: Seconds | None = None
    strict_resume: bool | None = None
    langsmith_tracer: LangsmithTracer | None = None
    priority: Annotated[int, Meta(ge=-LARGEST, le=LARGEST)] = 0
    queue: str | None = None


class BatchedRun(RunCreate):
    """A new run of a batch.

    The SDK for JavaScript sends these as its callers spell them, with `assistant_id` beside `assistantId`.
    """

    thread_id: Uuid | None = None
    assistantId: str | None = None  # noqa: N815 - names on the wire, these and the next
    streamMode: StreamMode | list[StreamMode] | UnsetType = UNSET  # noqa: N815
    streamSubgraphs: bool | UnsetType = UNSET  # noqa: N815
    streamResumable: bool | UnsetType = UNSET  # noqa: N815
    feedbackKeys: list[str] | None | UnsetType = UNSET  # noqa: N815
    interruptBefore: Nodes | None | UnsetType = UNSET  # noqa: N815
    interruptAfter: Nodes | None | UnsetType = UNSET  # noqa: N815
    checkpointId: str | None | UnsetType = UNSET  # noqa: N815
    multitaskStrategy: Literal["reject", "interrupt", "rollback", "enqueue"] | None | UnsetType = UNSET  # noqa: N815
    onCompletion: Literal["delete", "keep"] | None | UnsetType = UNSET  # noqa: N815
    onDisconnect: Literal["cancel", "continue"] | None | UnsetType = UNSET  # noqa: N815
    afterSeconds: Annotated[float, Meta(ge=0)] | None | UnsetType = UNSET  # noqa: N815
    ifNotExists: Literal["create", "reject"] | UnsetType = UNSET  # noqa: N815
    checkpointDuring: bool | None | UnsetType = UNSET  # noqa: N815

    def __post_init__(self) -> None:
        """Read what was spelled in camel case under its own name."""
        for name in self.__struct_fields__:
            own = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
            if own not in {name, "assistant_id"} and (value := getattr(self, name)) is not UNSET:
                setattr(self, own, value)


class RunsCancel(Body):
    """Which runs to cancel."""

    status: Literal["pending", "running", "all"] | None = None
    thread_id: Uuid | None = None
    run_ids: list[Uuid] | None = None


# -- crons


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


# -- store


class ItemPut(Body):
    """An item to keep.

    Attributes:
        ttl: Minutes that it lives.
    """

    namespace: list[str]
    key: str
    value: dict[str, Any]
    index: bool | list[str] | None = None
    ttl: Minutes | None = None


class ItemDelete(Body, kw_only=True):
    """An item to delete."""

    namespace: list[str] | None = None
    key: str


class ItemSearch(Body):
    """Which items."""

    namespace_prefix: list[str]
    filter: dict[str, Any] | None = None
    limit: Limit = 10
    offset: Offset = 0
    query: str | None = None
    refresh_ttl: bool | None = None


class NamespaceSearch(Body):
    """Which namespaces."""

    prefix: list[str] | None = None
    suffix: list[str] | None = None
    max_depth: Annotated[int, Meta(ge=1, le=LARGEST)] | None = None
    limit: Limit = 100
    offset: Offset = 0
