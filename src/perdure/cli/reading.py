"""What a stored checkpoint says, without the graph's code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from perdure.checkpoint.base import CheckpointTuple

BRANCH = "branch:to:"
INTERNAL = (BRANCH, "join:", "__")
CONTROL = frozenset({"__error__", "__error_source_node__", "__interrupt__", "__resume__", "__scheduled__"})
"""Channels of writes that don't finish a task."""


class Question(NamedTuple):
    """An interrupt that waits for an answer."""

    id: str
    value: Any


def visible_values(found: CheckpointTuple) -> dict[str, Any]:
    """Return the values of the channels that are the user's own."""
    values = found.checkpoint["channel_values"]
    return {name: value for name, value in values.items() if not name.startswith(INTERNAL)}


def changed_channels(found: CheckpointTuple) -> list[str]:
    """Return the user's channels that the checkpoint's superstep wrote."""
    updated = found.checkpoint.get("updated_channels") or ()
    return [name for name in updated if not name.startswith(INTERNAL)]


def scheduled_nodes(found: CheckpointTuple) -> list[str]:
    """Return the names of the nodes that run next, as far as the stored channels tell."""
    checkpoint = found.checkpoint
    nodes = [
        node
        for name in checkpoint["channel_values"]
        if (node := name.removeprefix(BRANCH)) != name and _is_unseen(checkpoint, name, node)
    ]
    sends = checkpoint["channel_values"].get("__pregel_tasks") or ()
    return sorted(nodes) + [str(getattr(send, "node", send)) for send in sends]


def _is_unseen(checkpoint: Any, channel: str, node: str) -> bool:
    version = checkpoint["channel_versions"].get(channel)
    seen = checkpoint["versions_seen"].get(node, {}).get(channel)
    return version is not None and (seen is None or version > seen)


def questions(found: CheckpointTuple) -> list[Question]:
    """Return the interrupts of tasks that haven't finished."""
    finished = {task for task, channel, _ in found.pending_writes or () if channel not in CONTROL}
    return [
        Question(str(getattr(item, "id", "")), getattr(item, "value", item))
        for task, value in _writes(found, "__interrupt__")
        if task not in finished
        for item in (value if isinstance(value, (list, tuple)) else (value,))
    ]


def failures(found: CheckpointTuple) -> list[str]:
    """Return what the tasks of the checkpoint that failed have raised."""
    return [str(value) for _, value in _writes(found, "__error__")]


def _writes(found: CheckpointTuple, channel: str) -> Iterator[tuple[str, Any]]:
    return ((task, value) for task, name, value in found.pending_writes or () if name == channel)


def status(found: CheckpointTuple) -> str:
    """Return `waiting`, `failed`, `unfinished` or `done`."""
    if questions(found):
        return "waiting"
    if failures(found):
        return "failed"
    return "unfinished" if scheduled_nodes(found) else "done"


def summary(found: CheckpointTuple) -> dict[str, Any]:
    """Return the facts about a checkpoint that fit on a line."""
    configurable = found.config["configurable"]
    parent = (found.parent_config or {}).get("configurable", {})
    return {
        "thread_id": configurable["thread_id"],
        "checkpoint_ns": configurable.get("checkpoint_ns", ""),
        "checkpoint_id": found.checkpoint["id"],
        "parent_checkpoint_id": parent.get("checkpoint_id"),
        "created_at": found.checkpoint["ts"],
        "source": found.metadata.get("source"),
        "step": found.metadata.get("step"),
        "status": status(found),
        "next": scheduled_nodes(found),
        "updated_channels": changed_channels(found),
    }


def detail(found: CheckpointTuple) -> dict[str, Any]:
    """Return a checkpoint's summary, its values, and what its tasks have written so far."""
    return {
        **summary(found),
        "values": visible_values(found),
        "interrupts": [question._asdict() for question in questions(found)],
        "errors": failures(found),
    }
