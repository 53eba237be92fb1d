"""The two forms of A2A: what methods and fields are called, and how answers are wrapped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from msgspec import Meta, Struct, field


class Part(Struct, kw_only=True):
    """A part of a message: text, data, or a file, in either form."""

    text: str | None = None
    data: Any = None
    file: dict[str, Any] | None = None
    raw: str | None = None
    url: str | None = None
    filename: str | None = None
    media_type: str | None = field(name="mediaType", default=None)


class Message(Struct, kw_only=True):
    """A message to an agent."""

    message_id: str = field(name="messageId")
    parts: list[Part]
    role: str = "user"
    context_id: str | None = field(name="contextId", default=None)
    task_id: str | None = field(name="taskId", default=None)


class Configuration(Struct, kw_only=True):
    """How a message is sent. The first two say the same, of the two forms."""

    blocking: bool = True
    return_immediately: bool = field(name="returnImmediately", default=False)


class Send(Struct, kw_only=True):
    """A message, and how it is sent."""

    message: Message
    configuration: Configuration | None = None
    metadata: dict[str, Any] | None = None

    @property
    def returns_at_once(self) -> bool:
        """Whether nobody waits for the task's end."""
        found = self.configuration
        return found is not None and (found.return_immediately or not found.blocking)


class TaskId(Struct, kw_only=True):
    """Names a task."""

    id: str


class TaskList(Struct, kw_only=True):
    """Which tasks."""

    context_id: str | None = field(name="contextId", default=None)
    page_size: Annotated[int, Meta(ge=1, le=100)] = field(name="pageSize", default=50)
    page_token: str = field(name="pageToken", default="")


class Form:
    """One version of the protocol.

    Args:
        methods: What is done, by the name of a method.
        is_old: Whether it is 0.3.
    """

    def __init__(self, methods: Mapping[str, str], *, is_old: bool) -> None:
        self.methods = methods
        self._is_old = is_old

    def state(self, state: str) -> str:
        """Return what a state of tasks is called: `input-required` is TASK_STATE_INPUT_REQUIRED in 1.0."""
        return state if self._is_old else f"TASK_STATE_{state.upper().replace('-', '_')}"

    def text(self, text: str) -> dict[str, Any]:
        """Return a part of text."""
        return {"kind": "text", "text": text} if self._is_old else {"text": text}

    def agents(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return a message of the agent."""
        return {**message, "kind": "message", "role": "agent"} if self._is_old else {**message, "role": "ROLE_AGENT"}

    def task(self, task: dict[str, Any]) -> dict[str, Any]:
        """Return a task as it is shown."""
        return {**task, "kind": "task"} if self._is_old else task

    def sent(self, task: dict[str, Any]) -> dict[str, Any]:
        """Return a task as the answer to a message."""
        return task if self._is_old else {"task": task}

    def event(self, kind: str, value: dict[str, Any]) -> dict[str, Any]:
        """Return an event of a stream: `task`, `artifact-update` or `status-update`."""
        if self._is_old:
            return {**value, "kind": kind}
        head, _, tail = kind.partition("-")
        return {head + tail.capitalize(): value}

    def final(self, update: dict[str, Any]) -> dict[str, Any]:
        """Mark an update as the last one, where that isn't told by the stream's end."""
        return {**update, "final": True} if self._is_old else update


FORMS: Final = (
    Form(
        {
            "message/send": "send",
            "message/stream": "stream",
            "tasks/get": "get",
            "tasks/list": "list",
            "tasks/cancel": "cancel",
            "tasks/resubscribe": "subscribe",
        },
        is_old=True,
    ),
    Form(
        {
            "SendMessage": "send",
            "SendStreamingMessage": "stream",
            "GetTask": "get",
            "ListTasks": "list",
            "CancelTask": "cancel",
            "SubscribeToTask": "subscribe",
        },
        is_old=False,
    ),
)
