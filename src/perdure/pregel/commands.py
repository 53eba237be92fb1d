"""What a `Command` means as writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_type_hints

from perdure.checkpoint.serde.types import RESUME, TASKS
from perdure.constants import END
from perdure.errors import InvalidUpdateError
from perdure.types import Command, Send


def branch_channel(node: str) -> str:
    """Name the channel that starts a node."""
    return f"branch:to:{node}"


def goto_writes(goto: Any) -> list[tuple[str, Any]]:
    """Return the writes that go to a node, to a `Send`, or to a sequence of these."""
    targets: Sequence[Any] = goto if isinstance(goto, (list, tuple)) else (goto,)
    writes: list[tuple[str, Any]] = []
    for target in targets:
        if isinstance(target, Send):
            writes.append((TASKS, target))
        elif isinstance(target, str):
            if target != END:
                writes.append((branch_channel(target), None))
        else:
            msg = f"Command.goto takes nodes' names and Sends, not {target!r}"
            raise InvalidUpdateError(msg)
    return writes


def update_pairs(update: Any) -> list[tuple[str, Any]]:
    """Return the (channel, value) pairs of an update given as dict, pairs, or an object of a schema."""
    if update is None:
        return []
    if isinstance(update, dict):
        return list(update.items())
    if isinstance(update, (list, tuple)) and all(
        isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str) for pair in update
    ):
        return list(update)
    if hints := get_type_hints(type(update)):
        return set_fields(update, list(hints))
    return [("__root__", update)]


def set_fields(update: Any, keys: Sequence[str]) -> list[tuple[str, Any]]:
    """Return the fields of an object that were given: all but defaults of None that nobody set."""
    given = getattr(update, "model_fields_set", None)
    fields = getattr(type(update), "model_fields", {})
    pairs = []
    for key in keys:
        if not hasattr(update, key):
            continue
        value = getattr(update, key)
        has_default = key in fields and fields[key].default is not None
        if value is not None or has_default or (given is not None and key in given):
            pairs.append((key, value))
    return pairs


def command_writes(command: Command[Any]) -> list[tuple[str, Any]]:
    """Return the writes of a command that a caller gives as the input of a run.

    Raises:
        InvalidUpdateError: It is for a parent graph, which a caller doesn't have.
    """
    if command.graph == Command.PARENT:
        msg = "a Command(graph=Command.PARENT) can't be the input of a run: there is no parent graph"
        raise InvalidUpdateError(msg)
    writes = goto_writes(command.goto)
    if command.resume is not None:
        writes.append((RESUME, command.resume))
    return [*writes, *update_pairs(command.update)]
