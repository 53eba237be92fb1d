"""What can be derived from the classic methods of a saver, written once for both colours.

A derivation is a generator that yields calls, (method, arguments, keywords), and is sent their results. A call
of `list` is answered with a list.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from perdure.checkpoint import bridge
from perdure.errors import ConflictError

if TYPE_CHECKING:
    from perdure.checkpoint.base import BaseCheckpointSaver, CheckpointTuple, Commit
    from perdure.types import RunnableConfig

T = TypeVar("T")
Call = tuple[str, tuple[Any, ...], dict[str, Any]]
Derivation = Generator[Call, Any, T]


def run_sync(saver: BaseCheckpointSaver[Any], steps: Derivation[T]) -> T:
    """Answer a derivation's calls with the saver's sync methods."""
    reply: Any = None
    while True:
        try:
            name, args, kwargs = steps.send(reply)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        reply = getattr(saver, name)(*bridge.fitting(saver, name, args), **kwargs)
        if name == "list":
            reply = list(reply)


async def run_async(saver: BaseCheckpointSaver[Any], steps: Derivation[T]) -> T:
    """Answer a derivation's calls with the saver's async methods."""
    reply: Any = None
    while True:
        try:
            name, args, kwargs = steps.send(reply)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        answer = getattr(saver, "a" + name)(*bridge.fitting(saver, name, args), **kwargs)
        reply = [item async for item in answer] if name == "list" else await answer


def address(thread_id: str, checkpoint_ns: str, checkpoint_id: str | None) -> RunnableConfig:
    """Make the config of a checkpoint, or of a namespace's head."""
    where = {"thread_id": thread_id, "checkpoint_ns": checkpoint_ns}
    if checkpoint_id is not None:
        where["checkpoint_id"] = checkpoint_id
    return {"configurable": where}


def get_head(thread_id: str, checkpoint_ns: str) -> Derivation[str | None]:
    """Find the head by reading it."""
    found = yield "get_tuple", (address(thread_id, checkpoint_ns, None),), {}
    return found.checkpoint["id"] if found else None


def commit(prepared: Sequence[Commit]) -> Derivation[bool]:
    """Store writes, then the checkpoint that counts them. Not atomic; a retry completes it."""
    for one in prepared:
        yield from _check_head(one)
        parent = address(one.thread_id, one.checkpoint_ns, one.parent_id)
        for task in one.writes:
            yield "put_writes", (parent, task.writes, task.task_id, task.task_path), {}
        if one.checkpoint is not None:
            args = (parent, one.checkpoint, one.metadata or {}, dict(one.new_versions))
            yield "put", args, {}
    return False


def _check_head(one: Commit) -> Derivation[None]:
    if one.expected_head is not None and not isinstance(one.expected_head, str):
        return
    head = yield "get_head", (one.thread_id, one.checkpoint_ns), {}
    if head == one.expected_head or (one.checkpoint is not None and head == one.checkpoint["id"]):
        return
    raise conflict(one.thread_id, one.checkpoint_ns, one.expected_head, head)


def conflict(thread_id: str, checkpoint_ns: str, expected: str | None, head: str | None) -> ConflictError:
    """Make the error for a head that another writer moved."""
    msg = f"the head of thread {thread_id!r}, namespace {checkpoint_ns!r} is {head}, not {expected}"
    return ConflictError(
        msg,
        hint="another run wrote to the thread meanwhile; nothing of this commit was stored",
        thread_id=thread_id,
        checkpoint_ns=checkpoint_ns,
        checkpoint_id=head,
    )


def copy_thread(source: str, target: str) -> Derivation[None]:
    """Read all checkpoints of a thread and put them into another, parents first."""
    found: list[CheckpointTuple] = yield "list", ({"configurable": {"thread_id": source}},), {}
    for item in reversed(found):
        ns = item.config.get("configurable", {}).get("checkpoint_ns", "")
        parent = (item.parent_config or {}).get("configurable", {}).get("checkpoint_id")
        versions = item.checkpoint["channel_versions"]
        yield "put", (address(target, ns, parent), item.checkpoint, item.metadata, versions), {}
        here = address(target, ns, item.checkpoint["id"])
        by_task: dict[str, list[tuple[str, Any]]] = {}
        for task_id, channel, value in item.pending_writes or ():
            by_task.setdefault(task_id, []).append((channel, value))
        for place, (task_id, writes) in enumerate(by_task.items()):
            # The paths aren't in a tuple, but their order is: keep that.
            yield "put_writes", (here, writes, task_id, f"{place:06}"), {}


def threads(limit: int | None, after: str | None) -> Derivation[list[str]]:
    """Collect the thread ids from all checkpoints: slow, for savers that have no better way."""
    found: list[CheckpointTuple] = yield "list", (None,), {}
    ids = {item.config["configurable"]["thread_id"] for item in found}
    return sorted(i for i in ids if after is None or i > after)[:limit]


def delete_threads(thread_ids: Sequence[str], before: str | None) -> Derivation[None]:
    """Delete each thread that has no checkpoint from this id on; all if it is None."""
    for thread_id in thread_ids:
        if before is not None:
            found: list[CheckpointTuple] = yield "list", ({"configurable": {"thread_id": thread_id}},), {}
            if any(item.checkpoint["id"] >= before for item in found):
                continue
        yield "delete_thread", (thread_id,), {}
