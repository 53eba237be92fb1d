"""Events: values that somebody sends to a thread, and that its tasks wait for.

1. Events lie in a namespace of their own within the thread, so that they can be sent while a run has the thread's
   turn, before the thread has begun, and by any process. Every change is a commit that compares the head, made anew on
   what it finds if it has lost.
2. A task takes the oldest event of a name. Who has taken it is stored with it: a task that dies before its own result
   is durable takes the same event when it runs again.
3. What a task has taken is kept as the result of one of its calls, see `called`. So an event is taken once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar
from uuid import uuid4

from perdure.checkpoint.base import LATEST_VERSION, Commit
from perdure.checkpoint.ids import new_id
from perdure.constants import CONF
from perdure.errors import ConflictError, EventTimeoutError, GraphInterrupt, UsageError
from perdure.pregel.driver import aanswer, answer
from perdure.pregel.effects import Load, Store
from perdure.types import Interrupt

if TYPE_CHECKING:
    from perdure.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
    from perdure.pregel.scope import TaskScope
    from perdure.types import RunnableConfig

T = TypeVar("T")

NAMESPACE: Final = "__events__"

AWAITED: Final = "wait_for"
UNTIL: Final = "until"

_CHANNEL: Final = "events"
_KEPT: Final = 1000
"""Events that are remembered as taken; only a task that dies before its result is durable asks for one again."""

_ATTEMPTS: Final = 100

Change = Generator[Load | Store, Any, T]


class Box(NamedTuple):
    """The events of a thread.

    Attributes:
        waiting: Those that nobody has taken: (id, name, value), in the order in which they came.
        taken: Those that a call has taken, by the call's id: (id, value).
    """

    waiting: list[list[Any]]
    taken: dict[str, list[Any]]

    def knows(self, event_id: str) -> bool:
        """Tell whether an event has come already."""
        return any(one[0] == event_id for one in self.waiting) or any(one[0] == event_id for one in self.taken.values())

    def names(self) -> set[str]:
        """Return the names of the events that nobody has taken."""
        return {one[1] for one in self.waiting}


def address(thread_id: str) -> RunnableConfig:
    """Return the config of a thread's events."""
    return {CONF: {"thread_id": thread_id, "checkpoint_ns": NAMESPACE}}


def box_of(saved: CheckpointTuple | None) -> Box:
    """Return the events of a stored checkpoint."""
    if saved is None:
        return Box([], {})
    stored = saved.checkpoint["channel_values"][_CHANNEL]
    return Box([list(one) for one in stored["waiting"]], {key: list(one) for key, one in stored["taken"].items()})


def checked(name: Any) -> str:
    """Return an event's name.

    Raises:
        UsageError: It isn't one.
    """
    if not isinstance(name, str) or not name:
        raise UsageError(f"an event's name is a text of at least one character, not {name!r}")
    return name


def _commit(saver: BaseCheckpointSaver[Any], thread_id: str, saved: CheckpointTuple | None, box: Box) -> Any:
    """Prepare the commit that leaves a thread's events so."""
    before = saved.checkpoint if saved is not None else None
    version = saver.get_next_version(before["channel_versions"][_CHANNEL] if before else None, None)
    head = before["id"] if before else None
    taken = dict(list(box.taken.items())[-_KEPT:])
    return saver.prepare(
        Commit(
            thread_id,
            NAMESPACE,
            head,
            checkpoint={
                "v": LATEST_VERSION,
                "id": new_id(head),
                "ts": datetime.now(UTC).isoformat(),
                "channel_values": {_CHANNEL: {"waiting": box.waiting, "taken": taken}},
                "channel_versions": {_CHANNEL: version},
                "versions_seen": {},
                "updated_channels": [_CHANNEL],
            },
            metadata={
                "source": "update",
                "step": int(saved.metadata.get("step", -1)) + 1 if saved else 0,
                "parents": {},
            },
            new_versions={_CHANNEL: version},
            expected_head=head,
        )
    )


def _step_after(saved: CheckpointTuple | None) -> int:
    return 0 if saved is None else int(saved.metadata.get("step", -1)) + 1


def _changed(
    saver: BaseCheckpointSaver[Any], thread_id: str, change: Callable[[Box], tuple[T, Box | None]]
) -> Change[T]:
    """Change a thread's events; `change` returns its outcome, and the events as they shall be, None if they stay."""
    attempt = 1
    while True:
        saved = yield Load(address(thread_id))
        outcome, box = change(box_of(saved))
        if box is None:
            return outcome
        try:
            yield Store([_commit(saver, thread_id, saved, box)])
        except ConflictError:
            if attempt == _ATTEMPTS:
                raise
            attempt += 1
        else:
            return outcome


def sending(
    saver: BaseCheckpointSaver[Any], thread_id: str, name: str, value: Any, event_id: str | None
) -> Change[str]:
    """Send an event; return its id. One that has come already isn't sent again."""
    checked(name)
    id_ = event_id or uuid4().hex

    def send(box: Box) -> tuple[str, Box | None]:
        return id_, None if box.knows(id_) else box._replace(waiting=[*box.waiting, [id_, name, value]])

    return _changed(saver, thread_id, send)


def taking(saver: BaseCheckpointSaver[Any], thread_id: str, name: str, call_id: str) -> Change[tuple[bool, Any]]:
    """Take the oldest event of a name for a call; return whether there is one, and its value."""

    def take(box: Box) -> tuple[tuple[bool, Any], Box | None]:
        if call_id in box.taken:
            return (True, box.taken[call_id][1]), None
        for at, (id_, event, value) in enumerate(box.waiting):
            if event == name:
                rest = [*box.waiting[:at], *box.waiting[at + 1 :]]
                return (True, value), Box(rest, {**box.taken, call_id: [id_, value]})
        return (False, None), None

    return _changed(saver, thread_id, take)


class Wait:
    """A task's wait for an event.

    Args:
        scope: The task.
        name: The event's name.
        until: When to give up, in seconds since 1970; None for never.
        call_id: Who takes the event.
    """

    def __init__(self, scope: TaskScope, name: str, until: float | None, call_id: str) -> None:
        self.scope = scope
        self.name = name
        self.until = until
        self.call_id = call_id

    def _taking(self) -> Change[tuple[bool, Any]]:
        saver, thread_id = self.scope.run.saver, self.scope.run.thread_id
        assert saver is not None
        assert thread_id is not None
        return taking(saver, thread_id, self.name, self.call_id)

    def take(self) -> list[Any]:
        """Take the event; return whether it came in time, and its value.

        Raises:
            GraphInterrupt: It hasn't come: the run stops.
        """
        self.scope.run.commits.wait()
        return self._outcome(answer(self.scope.run.saver, self._taking()))  # type: ignore[arg-type]

    async def atake(self) -> list[Any]:
        """Async twin of `take`."""
        await self.scope.run.commits.await_()
        return self._outcome(await aanswer(self.scope.run.saver, self._taking()))  # type: ignore[arg-type]

    def _outcome(self, found: tuple[bool, Any]) -> list[Any]:
        has_come, value = found
        if has_come or (self.until is not None and self.until <= time.time()):
            return [has_come, value]
        asked = {AWAITED: self.name}
        if self.until is not None:
            asked[UNTIL] = datetime.fromtimestamp(self.until, UTC).isoformat()
        raise GraphInterrupt((Interrupt(value=asked, id=self.call_id.replace("-", "")),))


def begin(scope: TaskScope, name: str) -> str:
    """Name a task's next wait.

    Raises:
        UsageError: The graph has no saver, so nobody can send to the thread.
    """
    checked(name)
    if scope.run.saver is None:
        raise UsageError(
            f"the node waits for the event {name!r}, and the graph has no checkpointer: nobody could send it",
            hint="compile the graph with one: builder.compile(checkpointer=SqliteSaver(...))",
        )
    scope.waited += 1
    return f"event {scope.waited} {name}"


def deadline(timeout: float | timedelta | None) -> float | None:
    """Return when a wait that begins now ends."""
    if timeout is None:
        return None
    from perdure.pregel.sleeping import moment

    return moment(timeout, None)


def value_of(outcome: list[Any], name: str) -> Any:
    """Return the event's value.

    Raises:
        EventTimeoutError: It didn't come in time.
    """
    has_come, value = outcome
    if not has_come:
        raise EventTimeoutError(f"the event {name!r} didn't come in time")
    return value
