"""What requests about runs say."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from perdure.server.schema.common import (
    LARGEST,
    Body,
    Checkpoint,
    Command,
    Config,
    LangsmithTracer,
    Metadata,
    Nodes,
    Seconds,
    StreamMode,
    Uuid,
)


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
    afterSeconds: Seconds | None | UnsetType = UNSET  # noqa: N815
    ifNotExists: Literal["create", "reject"] | UnsetType = UNSET  # noqa: N815
    checkpointDuring: bool | None | UnsetType = UNSET  # noqa: N815

    def __post_init__(self) -> None:
        """Read what was spelled in camel case under its own name."""
        for name in self.__struct_fields__:
            own = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
            if own not in {name, "assistant_id"} and (value := getattr(self, name)) is not UNSET:
                setattr(self, own, value)


Batch = Annotated[list[BatchedRun], Meta(max_length=1000)]


class RunsCancel(Body):
    """Which runs to cancel."""

    status: Literal["pending", "running", "all"] | None = None
    thread_id: Uuid | None = None
    run_ids: list[Uuid] | None = None
