"""What a stream tells: collecting events of a run and shaping them for the caller."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from perdure.checkpoint.serde.types import ERROR, INTERRUPT
from perdure.constants import TAG_HIDDEN
from perdure.errors import GraphBubbleUp, InvalidConfigError

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from perdure.pregel.task import Task
    from perdure.types import Interrupt, RunnableConfig, StreamMode

MODES = frozenset({"values", "updates", "checkpoints", "tasks", "debug", "messages", "tools", "custom"})
_LIVE = frozenset({"custom", "messages", "tools"})
Event = tuple[tuple[str, ...], str, Any]


class Sink:
    """Collects the events of a run and of the graphs that it calls.

    Args:
        modes: The stream modes that somebody listens to.
        subgraphs: Whether events of graphs called from inside are wanted too.
        is_live: Whether events come while a task is running, whatever the modes are.
    """

    __slots__ = ("_notify", "_waiting", "events", "is_live", "modes", "seen_messages", "subgraphs")

    AHEAD = 32
    """How many events those who can wait may be ahead of the reader."""

    def __init__(self, modes: Iterable[str] = (), *, subgraphs: bool = False, is_live: bool = False) -> None:
        self.modes = frozenset(modes)
        if "debug" in self.modes:
            self.modes |= {"debug:checkpoints", "debug:tasks"}
        self.subgraphs = subgraphs
        self.events: deque[Event] = deque()
        self._notify: Callable[[], None] | None = None
        self._waiting: list[Callable[[], None]] = []
        self.seen_messages: set[str] = set()
        self.is_live = is_live or bool(self.modes & _LIVE) or (subgraphs and bool(self.modes))
        """Whether events come while a task is running, so that the driver must listen meanwhile."""

    def wants(self, mode: str) -> bool:
        """Tell whether somebody listens."""
        return mode in self.modes

    def put(self, ns: tuple[str, ...], mode: str, payload: Any) -> None:
        """Add an event; safe from any thread."""
        if ns and not self.subgraphs:
            return
        self.events.append((ns, mode, payload))
        if self._notify is not None:
            self._notify()

    @property
    def notify(self) -> Callable[[], None] | None:
        """Who is told of each event, while somebody listens."""
        return self._notify

    @notify.setter
    def notify(self, notify: Callable[[], None] | None) -> None:
        self._notify = notify
        if notify is None:
            self._wake()

    @property
    def is_full(self) -> bool:
        """Whether the reader is behind; never while nobody listens, for then nothing is read."""
        return self._notify is not None and len(self.events) >= self.AHEAD

    def wait(self) -> None:
        """Wait until the reader isn't behind."""
        while self.is_full:
            room = threading.Event()
            self._waiting.append(room.set)
            if self.is_full:  # else it was read meanwhile, and nobody may wake us
                room.wait()

    async def await_(self) -> None:
        """Async twin of `wait`."""
        if not self.is_full:
            return
        import asyncio

        loop = asyncio.get_running_loop()
        while self.is_full:
            room = asyncio.Event()
            self._waiting.append(partial(_tell, loop, room.set))
            if self.is_full:
                await room.wait()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for wake in waiting:
            wake()

    def __call__(self, chunk: Event) -> None:
        """Do what `put` does, for those who know it as `StreamProtocol`."""
        self.put(*chunk)

    def drain(self) -> Iterator[Event]:
        """Take out the events so far."""
        events = self.events
        while events:
            yield events.popleft()
            if self._waiting and not self.is_full:
                self._wake()


def _tell(loop: AbstractEventLoop, wake: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(wake)


class Tee(Sink):
    """A sink for a stream inside a node: what it collects also goes to the sink around it."""

    __slots__ = ("outer",)

    def __init__(self, modes: Iterable[str], outer: Sink, *, subgraphs: bool) -> None:
        super().__init__(modes, subgraphs=subgraphs)
        self.outer = outer

    def wants(self, mode: str) -> bool:
        return mode in self.modes or self.outer.wants(mode)

    def put(self, ns: tuple[str, ...], mode: str, payload: Any) -> None:
        if mode in self.modes:
            self.events.append((ns, mode, payload))
            if self._notify is not None:
                self._notify()
        self.outer.put(ns, mode, payload)

    def wait(self) -> None:
        super().wait()
        self.outer.wait()

    async def await_(self) -> None:
        await super().await_()
        await self.outer.await_()


SILENT = Sink()
"""A sink that nobody listens to."""


def parse_modes(stream_mode: StreamMode | Sequence[StreamMode] | None, default: str) -> tuple[tuple[str, ...], bool]:
    """Return the modes and whether the caller gave a list, in which case each event is told with its mode.

    Raises:
        InvalidConfigError: There is no such mode.
    """
    modes = (
        (default,) if stream_mode is None else (stream_mode,) if isinstance(stream_mode, str) else tuple(stream_mode)
    )
    for mode in modes:
        if mode not in MODES:
            msg = f"there is no stream mode {mode!r}"
            raise InvalidConfigError(msg, hint=f"modes are: {', '.join(sorted(MODES))}")
    return modes, not (stream_mode is None or isinstance(stream_mode, str))


class Shaper:
    """Turns events into what the caller of `stream` gets.

    Args:
        version: `v1` (payload, with mode and namespace where asked) or `v2` (dicts that tell all).
        many: Whether the caller asked for a list of modes.
        subgraphs: Whether the caller asked for subgraphs.
    """

    __slots__ = ("coerce", "many", "subgraphs", "version")

    def __init__(
        self,
        version: Literal["v1", "v2"],
        *,
        many: bool,
        subgraphs: bool,
        coerce: Callable[[Any], Any] | None = None,
    ) -> None:
        if version not in ("v1", "v2"):
            msg = f"version must be 'v1' or 'v2', not {version!r}"
            raise InvalidConfigError(msg)
        self.version = version
        self.many = many
        self.subgraphs = subgraphs
        self.coerce = coerce

    def __call__(self, event: Event) -> Any:
        ns, mode, payload = event
        if self.version == "v2":
            return self._part(ns, mode, payload)
        if self.subgraphs:
            return (ns, mode, payload) if self.many else (ns, payload)
        return (mode, payload) if self.many else payload

    def _part(self, ns: tuple[str, ...], mode: str, payload: Any) -> dict[str, Any]:
        part: dict[str, Any] = {"type": mode, "ns": ns, "data": payload}
        if mode == "values":
            interrupts: tuple[Interrupt, ...] = ()
            if isinstance(payload, dict) and INTERRUPT in payload:
                interrupts = tuple(payload[INTERRUPT])
                payload = {k: v for k, v in payload.items() if k != INTERRUPT}
            part["data"] = self.coerce(payload) if self.coerce and not ns else payload
            part["interrupts"] = interrupts
        return part


def writes_values(output: str | Sequence[str], writes: Iterable[tuple[str, Any]]) -> bool:
    """Tell whether any of the writes changes the output."""
    if isinstance(output, str):
        return any(name == output for name, _ in writes)
    return any(name in output for name, _ in writes)


def update_of(output: str | Sequence[str], writes: Sequence[tuple[str, Any]]) -> list[Any]:
    """Return a task's update as its caller sees it: usually one, several if it wrote a channel twice."""
    if isinstance(output, str):
        return [value for name, value in writes if name == output]
    found = [(name, value) for name, value in writes if name in output]
    if len({name for name, _ in found}) == len(found):
        return [dict(found)] if found else []
    return [{name: value} for name, value in found]


def map_updates(output: str | Sequence[str], tasks: Iterable[Task], *, cached: bool = False) -> dict[str, Any] | None:
    """Return the payload of the mode `updates` for finished tasks, or None if there is nothing to tell."""
    told: dict[str, list[Any]] = {}
    for task in tasks:
        if TAG_HIDDEN in task.node.tags or not task.writes or task.writes[0][0] in (ERROR, INTERRUPT):
            continue
        told.setdefault(task.shown, []).extend(update_of(output, task.writes) or [None])
    if not told:
        return None
    payload: dict[str, Any] = {}
    for name, updates in told.items():
        payload[name] = updates[0] if len(updates) == 1 else updates
    if cached:
        payload["__metadata__"] = {"cached": True}
    return payload


def as_dict(interrupt: Interrupt) -> dict[str, Any]:
    """Return an interrupt as the stream modes tell it."""
    return {"value": interrupt.value, "id": interrupt.id, "response_schema": interrupt.response_schema}


def task_payload(task: Task, config: RunnableConfig) -> dict[str, Any]:
    """Return the payload of the mode `tasks` for a task that starts in a run with this config."""
    payload = {"id": task.id, "name": task.shown, "input": task.input, "triggers": task.triggers}
    given = (config.get("metadata") or {}).items()  # with the marks of the task around, if a node called the graph
    metadata = {key: value for key, value in given if key != "thread_id" and not key.startswith("langgraph_")}
    metadata.update(task.node.metadata or {})
    if tags := [*(config.get("tags") or ()), *task.node.tags]:
        metadata["tags"] = tags
    return {**payload, "metadata": metadata} if metadata else payload


def result_of(output: str | Sequence[str], writes: Sequence[tuple[str, Any]]) -> Any:
    """Return what a task wrote to the output channels, as its result."""
    if isinstance(output, str):
        found = [value for name, value in writes if name == output]
        return found[-1] if found else None
    result: dict[str, Any] = {}
    many: dict[str, list[Any]] = {}
    for name, value in writes:
        if name in output:
            many.setdefault(name, []).append(value)
    for name, values in many.items():
        result[name] = values[0] if len(values) == 1 else {"$writes": values}
    return result


def result_payload(task: Task, output: str | Sequence[str]) -> dict[str, Any]:
    """Return the payload of the mode `tasks` for a task that ended."""
    failure = None if isinstance(task.failure, GraphBubbleUp) else task.failure
    names = (output,) if isinstance(output, str) else output
    return {
        "id": task.id,
        "name": task.shown,
        "error": failure,
        "result": {} if task.failure is not None else result_of(names, task.writes),
        "interrupts": [as_dict(i) for i in task.interrupts],
    }


def debug_event(kind: str, step: int, payload: Any) -> dict[str, Any]:
    """Wrap a payload for the mode `debug`."""
    return {
        "step": step,
        "timestamp": datetime.now(UTC).isoformat(),
        "type": kind,
        "payload": payload,
    }


def is_message(value: Any) -> bool:
    """Tell whether a value is a chat message: a dict with role and content, or a LangChain message."""
    if isinstance(value, dict):
        return "content" in value and ("role" in value or "type" in value)
    return hasattr(value, "content") and hasattr(value, "type") and hasattr(value, "additional_kwargs")


def messages_in(values: Iterable[Any]) -> Iterator[Any]:
    """Yield the chat messages among written values and in lists of these."""
    for value in values:
        if is_message(value):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from (item for item in value if is_message(item))


def message_id(message: Any) -> str | None:
    """Return a message's id, if it has one."""
    return message.get("id") if isinstance(message, Mapping) else getattr(message, "id", None)
