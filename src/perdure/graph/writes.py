"""From what a node returns to the task's writes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from perdure.checkpoint.serde.types import TASKS
from perdure.constants import END, START
from perdure.errors import ErrorCode, GraphValidationError, InvalidUpdateError, ParentCommand
from perdure.graph.schema import ROOT, is_record
from perdure.pregel.commands import branch_channel, goto_writes, set_fields, update_pairs
from perdure.types import Command, Send

if TYPE_CHECKING:
    from perdure.pregel.task import Task

Pairs = list[tuple[str, Any]]


class ResultWriter:
    """Adds a node's result and its fixed edges to the task's writes.

    Args:
        keys: The state's keys; others in a result are left out.
        fixed: What every run of the node writes: edges and barriers.
        on_write: By key, what is done to an update before it is stored (message ids, for one).
    """

    __slots__ = ("fixed", "is_root", "keys", "on_write")

    def __init__(self, keys: Collection[str], fixed: Pairs, on_write: Mapping[str, Callable[[Any], Any]]) -> None:
        self.keys = dict.fromkeys(keys)
        self.is_root = tuple(keys) == (ROOT,)
        self.fixed = tuple(fixed)
        self.on_write = dict(on_write)

    def write(self, result: Any, task: Task) -> None:
        writes = task.writes
        if type(result) is dict and not self.on_write and not self.is_root:
            if result.keys() <= self.keys.keys():
                writes += result.items()
            else:
                writes += [pair for pair in result.items() if pair[0] in self.keys]
        elif result is not None or self.is_root:
            for name, value in self._pairs(result, task):
                prepare = self.on_write.get(name)
                writes.append((name, value if prepare is None else prepare(value)))
        writes += self.fixed

    def _pairs(self, result: Any, task: Task) -> Pairs:
        if isinstance(result, Command):
            return self._command_pairs(result)
        if isinstance(result, (list, tuple)) and result and any(isinstance(item, Command) for item in result):
            return [pair for item in result for pair in self._pairs(item, task)]
        if self.is_root:
            return [] if result is None else [(ROOT, result)]
        if result is None:
            return []
        if isinstance(result, dict):
            return [pair for pair in result.items() if pair[0] in self.keys]
        if is_record(type(result)):
            return [pair for pair in set_fields(result, list(self.keys)) if pair[0] in self.keys]
        raise InvalidUpdateError(
            f"node {task.name!r} returned {_short(result)}, and a node returns a dict of updates, a Command or None "
            f"({ErrorCode.INVALID_GRAPH_NODE_RETURN_VALUE.value})"
            if task.name != START
            else f"the input must be a dict of the state's keys, not {_short(result)}",
            node=task.name,
        )

    def _command_pairs(self, command: Command[Any]) -> Pairs:
        if command.graph == Command.PARENT:
            raise ParentCommand(command)
        update = (
            [(ROOT, command.update)] if self.is_root and command.update is not None else update_pairs(command.update)
        )
        return [*(pair for pair in update if pair[0] in self.keys), *goto_writes(command.goto)]


def _short(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 80 else text[:77] + '...'}"


class Router:
    """Turns the answer of a path function into the task's writes.

    Args:
        source: The node that the branch starts from.
        name: Of the path function.
        ends: From answer to node; None if answers are nodes' names.
        nodes: The nodes there are, for the error message.
    """

    __slots__ = ("_known", "ends", "name", "nodes", "source")

    def __init__(self, source: str, name: str, ends: Mapping[Any, str] | None, nodes: Collection[str]) -> None:
        self.source = source
        self.name = name
        self.ends = ends
        self.nodes = nodes
        self._known: dict[str, tuple[tuple[str, None], ...]] = {}  # by answer, what it adds to the writes

    def route(self, answer: Any, task: Task) -> None:
        if type(answer) is str:
            writes = self._known.get(answer)
            if writes is None:
                target = self._target(answer)
                writes = self._known[answer] = () if target == END else ((branch_channel(target), None),)
            task.writes += writes
            return
        answers: Sequence[Any] = answer if isinstance(answer, (list, tuple)) else (answer,)
        for one in answers:
            if isinstance(one, Send):
                if one.node == END:
                    msg = f"the branch {self.name!r} of {self.source!r} sends to END, which takes no input"
                    raise InvalidUpdateError(msg)
                task.writes.append((TASKS, one))
                continue
            target = self._target(one)
            if target != END:
                task.writes.append((branch_channel(target), None))

    def _target(self, answer: Any) -> str:
        target = answer if self.ends is None else self.ends.get(answer)
        if target is None or target == START or (self.ends is None and target != END and target not in self.nodes):
            known = sorted(map(str, self.ends if self.ends is not None else [*self.nodes, END]))
            msg = f"the branch {self.name!r} of {self.source!r} answered {answer!r}, which leads nowhere"
            raise GraphValidationError(msg, hint=f"it can answer: {', '.join(known)}", node=self.source)
        return str(target)
