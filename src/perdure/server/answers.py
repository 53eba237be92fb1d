"""What the server answers: the forms that `shapes` makes, and that /openapi.json describes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NamedTuple,
    NotRequired,
    TypedDict,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
from msgspec import UNSET, Meta, UnsetType

from perdure.server.schema import RunStatus

JSON: Final = "application/json"
Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Object = dict[str, Any]


class Answer(NamedTuple):
    """How a route may answer, if nothing is wrong.

    Attributes:
        status: The HTTP status.
        form: What is sent; None: nothing is.
        media: Its media type.
    """

    status: int
    form: Any
    media: str = JSON


class Assistant(TypedDict):
    """A graph with a config; or a version of one, which was made and not changed."""

    assistant_id: str
    graph_id: str
    version: int
    name: str
    description: str | None
    config: Object
    context: Object
    metadata: Object
    created_at: Time
    updated_at: NotRequired[Time]


class Ttl(TypedDict):
    """How long a thread lives."""

    ttl_minutes: float
    strategy: str
    expires_at: Time | None


class ThreadRow(TypedDict):
    """What the server knows of a thread, without its state."""

    thread_id: str
    status: Literal["idle", "busy", "interrupted", "error"]
    metadata: Object
    config: Object
    error: Object | None
    created_at: Time
    updated_at: Time
    state_updated_at: Time


class Thread(ThreadRow):
    """A thread with its values, and its open questions by task."""

    values: Any
    interrupts: dict[str, list[Question]]
    ttl: NotRequired[Ttl]
    extracted: NotRequired[Object]


class Question(TypedDict):
    """An open question."""

    id: str
    value: Any
    response_schema: NotRequired[Any]


class Place(TypedDict):
    """Addresses a checkpoint."""

    thread_id: str | None
    checkpoint_ns: str
    checkpoint_id: str | None
    checkpoint_map: NotRequired[Object]


class Task(TypedDict):
    """A task of a state."""

    id: str
    name: str
    path: Any
    error: str | None
    interrupts: list[Question]
    checkpoint: Place | None
    state: State | None
    result: Any


class State(TypedDict):
    """A thread's state at a checkpoint."""

    values: Any
    next: list[str]
    tasks: list[Task]
    metadata: Object | None
    created_at: str | None
    checkpoint: Place
    parent_checkpoint: Place | None
    interrupts: list[Question]
    checkpoint_id: str | None
    parent_checkpoint_id: str | None


class NewState(TypedDict):
    """The checkpoint that a change of a state has made."""

    checkpoint: Object
    configurable: Object
    checkpoint_id: str | None


class Pruned(TypedDict):
    """How many threads were made smaller, or deleted."""

    pruned_count: int


class Run(TypedDict):
    """A run."""

    run_id: str
    thread_id: str
    assistant_id: str
    status: RunStatus
    metadata: Object
    kwargs: Object
    multitask_strategy: str
    created_at: Time
    updated_at: Time
    attempt: int
    priority: int
    queue: str
    cancel_reason: str | None


class RunRow(TypedDict):
    """A run without what it was made with."""

    run_id: str
    thread_id: str
    assistant_id: str
    graph_id: str
    status: RunStatus
    created_at: Time
    updated_at: Time
    attempt: int
    priority: int
    queue: str
    cancel_reason: str | None
    error: Object | None


class Cron(TypedDict):
    """A cron."""

    cron_id: str
    assistant_id: str
    thread_id: str | None
    schedule: str
    timezone: str | None
    on_run_completed: str | None
    payload: Object
    metadata: Object
    user_id: str | None
    enabled: bool
    end_time: Time | None
    next_run_date: Time | None
    created_at: Time
    updated_at: Time


class Item(TypedDict):
    """An item of the store; with its score, if it was searched for."""

    namespace: list[str]
    key: str
    value: Object
    created_at: Time
    updated_at: Time
    score: NotRequired[float | None]


class Items(TypedDict):
    """Items that were found."""

    items: list[Item]


class Namespaces(TypedDict):
    """Namespaces that were found."""

    namespaces: list[list[str]]


class Node(TypedDict):
    """A node of a drawing."""

    id: str
    type: str
    data: Any
    metadata: NotRequired[Any]


class Edge(TypedDict):
    """An edge of a drawing."""

    source: str
    target: str
    data: NotRequired[Any]
    conditional: NotRequired[bool]


class Drawing(TypedDict):
    """The drawing of a graph."""

    nodes: list[Node]
    edges: list[Edge]


class InnerSchemas(TypedDict):
    """The JSON schemas of a graph; None where there are no words for it."""

    input_schema: Object | None
    output_schema: Object | None
    state_schema: Object | None
    config_schema: Object | None
    context_schema: Object | None


class Schemas(InnerSchemas):
    """The JSON schemas of an assistant's graph."""

    graph_id: str


class Alive(TypedDict):
    """That the server lives."""

    ok: bool


class Info(TypedDict):
    """What the server is, and what it can do."""

    version: str
    langgraph_py_version: str | None
    python_version: str
    flags: dict[str, bool]
    host: Object
    graphs: list[str]


class Figures(TypedDict):
    """The most important figures."""

    queue: dict[str, float]
    queues: dict[str, dict[str, float]]
    workers: dict[str, int]
    api: dict[str, int]


class Command(TypedDict):
    """The answer to a command of the event protocol."""

    type: Literal["success", "error"]
    id: int | None
    result: NotRequired[Object]
    meta: NotRequired[Object]
    error: NotRequired[str]
    message: NotRequired[str]


class RpcError(TypedDict):
    """What went wrong with a request of JSON-RPC."""

    code: int
    message: str


class Rpc(TypedDict):
    """An answer of JSON-RPC."""

    jsonrpc: Literal["2.0"]
    id: str | int | None
    result: NotRequired[Any]
    error: NotRequired[RpcError]


class Card(TypedDict):
    """An assistant as an agent of A2A."""

    name: str
    description: str
    version: str
    protocolVersion: str
    url: str
    preferredTransport: str
    supportedInterfaces: list[Object]
    provider: Object
    capabilities: Object
    defaultInputModes: list[str]
    defaultOutputModes: list[str]
    skills: list[Object]


class Event(TypedDict):
    """An event of a stream, as text/event-stream has it; its data is JSON."""

    event: NotRequired[str]
    data: NotRequired[str]
    id: NotRequired[str]


NOTHING: Final = (Answer(204, None),)
ANYTHING: Final = (Answer(200, Any),)
EVENTS: Final = (Answer(200, Event, "text/event-stream"),)


def ok(form: Any) -> tuple[Answer, ...]:
    """Say that a route answers with something."""
    return (Answer(200, form),)


def some(kind: Any) -> Any:
    """Return the form of what was selected of something: any of its parts."""
    hints = get_type_hints(kind, globals(), include_extras=True)
    fields: Sequence[tuple[str, Any, Any]] = [
        (name, (get_args(hint)[0] if get_origin(hint) is NotRequired else hint) | UnsetType, UNSET)
        for name, hint in hints.items()
    ]
    return msgspec.defstruct(f"Some{kind.__name__}", fields, forbid_unknown_fields=True)


SomeAssistant: Final = some(Assistant)
SomeThread: Final = some(Thread)
SomeState: Final = some(State)
SomeRun: Final = some(Run)
SomeCron: Final = some(Cron)
