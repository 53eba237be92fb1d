"""What commands say: one Struct a method. Fields that aren't here are refused by name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from perdure.server.schema import LARGEST, Body, Config, Limit, RunCreate, SendTo

Namespace = list[str]
Count = Annotated[int, Meta(ge=0, le=LARGEST)]
Strategy = Literal["reject", "interrupt", "rollback", "enqueue"]


class ProtocolRun(RunCreate, kw_only=True):
    """A run that tells all channels."""

    protocol: bool = True


class Command(Struct, kw_only=True):
    """A command as it comes in."""

    id: Count
    method: str
    params: dict[str, Any] = field(default_factory=dict)


class EventStream(Body):
    """What to listen to."""

    channels: list[str]
    namespaces: list[Namespace] | None = None
    depth: Count | None = None
    since: Count | None = None


class RunStart(Body):
    """Start a run, or answer the question of a thread that waits for one.

    Attributes:
        input: Of the graph; or the answer.
        multitaskStrategy: The same as `multitask_strategy`, as older clients spell it.
    """

    assistant_id: str
    input: Any = UNSET
    config: Config | None = None
    context: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    langsmith_tracer: dict[str, Any] | None = None
    multitask_strategy: Strategy | None = None
    multitaskStrategy: Strategy | None = None  # noqa: N815 - a name on the wire


class Response(Body):
    """An answer to a question."""

    namespace: Namespace
    interrupt_id: str
    response: Any = None


class InputRespond(Body):
    """Answer one question, or several."""

    namespace: Namespace | None = None
    interrupt_id: str | None = None
    response: Any = None
    responses: list[Response] | None = None
    update: dict[str, Any] | None = None
    goto: str | SendTo | list[str | SendTo] | None = None
    config: Config | None = None
    metadata: dict[str, Any] | None = None
    strict_resume: bool = False


class InputMessage(Body):
    """A message from outside."""

    role: Literal["user", "system"]
    content: str
    name: str | None = None


class InputInject(Body):
    """Add a message to an agent's."""

    namespace: Namespace
    message: InputMessage


class AgentGetTree(Body):
    """Ask for the graphs that a run has called."""

    run_id: str | None = None


class StateGet(Body):
    """Ask for a state."""

    namespace: Namespace
    keys: list[str] | None = None


class ListCheckpoints(Body):
    """Ask for checkpoints, newest first."""

    namespace: Namespace = field(default_factory=list)
    limit: Limit = 10
    before: str | None = None


class StateFork(Body):
    """Run again from a checkpoint."""

    checkpoint_id: str
    input: Any | UnsetType = UNSET
    config: Config | None = None


class Unsubscribe(Body):
    """Stop listening."""

    subscription_id: str


class Reconnect(Body):
    """Go on listening after the last event that was seen."""

    run_id: str
    last_event_id: str | None = None
    subscriptions: list[str] | None = None
