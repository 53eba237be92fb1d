"""What requests to a server are, and what its answers mean: the part of `remote` that does no I/O."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from perdure.constants import CONF, NS_SEP
from perdure.errors import GraphError, GraphInterrupt
from perdure.pregel.calls import merge_configs, parent_of
from perdure.types import Command, Interrupt, PregelTask, RunnableConfig, Send, StateSnapshot

PLACE = ("thread_id", "checkpoint_ns", "checkpoint_id", "checkpoint_map")
"""What addresses a checkpoint."""

_TO_SERVER = {"messages": "messages-tuple"}
_SCALARS = (str, int, float, bool)


class RemoteException(GraphError):
    """A run on a server failed; `args[0]` is what the server said."""


class Request(NamedTuple):
    """A request, without the server's address."""

    method: str
    path: str
    body: Any = None
    params: Mapping[str, Any] | None = None


class Asked:
    """What a caller of `stream` asked for: what the server is to tell, and what of it they get."""

    def __init__(self, graph: Any, config: RunnableConfig | None, mode: Any, *, subgraphs: bool) -> None:
        self.graph = graph
        self.is_inner = parent_of(config) is not None
        self.config = merge_configs(graph.config, config)
        self.modes = ("updates",) if mode is None else (mode,) if isinstance(mode, str) else tuple(mode)
        self.is_many = not (mode is None or isinstance(mode, str))
        self.subgraphs = subgraphs

    def request(self, input: Any, context: Any, stops: tuple[Any, Any], options: dict[str, Any]) -> Request:
        """Return the request that makes the run and streams it."""
        conf = self.config.get(CONF) or {}
        # The outer graph's thread isn't the server's: as a node, the run has a thread of its own.
        thread_id = None if self.is_inner else conf.get("thread_id")
        wanted = [*self.modes, *(() if "updates" in self.modes or not self.is_inner else ("updates",))]
        command = isinstance(input, Command)
        body = {
            "assistant_id": self.graph.assistant_id,
            "input": None if command else input,
            "command": _command(input) if command else None,
            "config": self._plain_config(),
            "context": context,
            "stream_mode": [_TO_SERVER.get(mode, mode) for mode in wanted],
            "stream_subgraphs": self.subgraphs,
            "interrupt_before": stops[0],
            "interrupt_after": stops[1],
            "if_not_exists": "create",
            **options,
        }
        path = "/runs/stream" if thread_id is None else f"/threads/{thread_id}/runs/stream"
        if thread_id is not None and conf.get("checkpoint_id"):
            body["checkpoint"] = {name: conf[name] for name in PLACE if conf.get(name)}
        return Request("POST", path, {k: v for k, v in body.items() if v is not None})

    def _plain_config(self) -> dict[str, Any]:
        """Return what of the config another process can use."""
        conf = self.config.get(CONF) or {}
        plain: dict[str, Any] = {
            CONF: {k: v for k, v in conf.items() if k not in PLACE and not k.startswith("__") and _is_plain(v)},
            "metadata": {k: v for k, v in (self.config.get("metadata") or {}).items() if _is_plain(v)},
            "tags": [tag for tag in self.config.get("tags") or () if isinstance(tag, str)],
        }
        if "recursion_limit" in self.config:
            plain["recursion_limit"] = self.config["recursion_limit"]
        return plain

    def told(self, event: tuple[str, Any]) -> Iterator[Any]:
        """Yield what of an event the caller gets.

        Raises:
            RemoteException: The event says that the run failed.
            GraphInterrupt: It is a question, for the graph around to ask.
        """
        name, data = event
        mode, *ns = name.split(NS_SEP)
        if mode == "error":
            raise RemoteException(data if isinstance(data, str) else f"{data.get('error')}: {data.get('message')}")
        if isinstance(data, dict) and "__interrupt__" in data:
            questions = tuple(_interrupt(one) for one in data["__interrupt__"])
            if self.is_inner and mode == "updates":
                raise GraphInterrupt(questions)
            data = {**data, "__interrupt__": list(questions)}
        if mode not in self.modes or (ns and not self.subgraphs):
            return
        data = tuple(data) if mode == "messages" else data
        if self.subgraphs:
            yield (tuple(ns), mode, data) if self.is_many else (tuple(ns), data)
        else:
            yield (mode, data) if self.is_many else data


class Events:
    """Puts the lines of an SSE stream together."""

    def __init__(self) -> None:
        self._name = ""
        self._data: list[str] = []

    def feed(self, line: str) -> Iterator[tuple[str, Any]]:
        """Take a line; yield the event that it ends, if it does."""
        if not line:
            if self._data:
                yield self._name, json.loads("\n".join(self._data))
            self._name, self._data = "", []
            return
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)


def arguments_of(request: Request, headers: Mapping[str, str]) -> dict[str, Any]:
    """Return the keywords of a client's request."""
    found: dict[str, Any] = {"headers": dict(headers)}
    if request.body is not None:
        found["content"] = json.dumps(request.body, default=_jsonable).encode()
        found["headers"]["content-type"] = "application/json"
    if request.params:
        found["params"] = request.params
    return found


def _jsonable(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if hasattr(value, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    if isinstance(value, (set, frozenset)):
        return list(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def value_of(status: int, content: bytes) -> Any:
    """Return what an answer says.

    Raises:
        RemoteException: It says no.
    """
    try:
        found = json.loads(content) if content else None
    except ValueError:
        found = content.decode(errors="replace")
    if status >= 400:
        detail = found.get("detail") if isinstance(found, dict) else found
        raise RemoteException(f"the server answered {status}: {detail}", status=status)
    return found


def _command(command: Command[Any]) -> dict[str, Any]:
    goto = command.goto
    several = [goto] if isinstance(goto, (str, Send)) else list(goto)
    plain = [{"node": one.node, "input": one.arg} if isinstance(one, Send) else one for one in several]
    given = {"update": command.update, "resume": command.resume, "goto": plain or None}
    return {k: v for k, v in given.items() if v is not None}


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_plain(v) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, _SCALARS)


def _interrupt(told: dict[str, Any]) -> Interrupt:
    return Interrupt(told.get("value"), told.get("id", "placeholder-id"), response_schema=told.get("response_schema"))


def snapshot(state: dict[str, Any]) -> StateSnapshot:
    """Return a state as the server tells it as a snapshot."""
    tasks = tuple(_task(task) for task in state["tasks"])
    parent = state.get("parent_checkpoint")
    return StateSnapshot(
        values=state["values"],
        next=tuple(state["next"] or ()),
        config={CONF: state["checkpoint"]},
        metadata=state["metadata"],
        created_at=state["created_at"],
        parent_config={CONF: parent} if parent else None,
        tasks=tasks,
        interrupts=tuple(i for task in tasks for i in task.interrupts),
    )


def _task(task: dict[str, Any]) -> PregelTask:
    inner: RunnableConfig | StateSnapshot | None = None
    if task.get("state"):
        inner = snapshot(task["state"])
    elif task.get("checkpoint"):
        inner = {CONF: task["checkpoint"]}
    error = None if task.get("error") is None else RemoteException(task["error"])
    questions = tuple(map(_interrupt, task["interrupts"]))
    return PregelTask(
        task["id"], task["name"], tuple(task.get("path") or ()), error, questions, inner, task.get("result")
    )
