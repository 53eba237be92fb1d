"""Commands to a thread, and their answers."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from perdure.errors import PerdureError, UsageError
from perdure.server.database import events, runs, threads
from perdure.server.encoding import decode
from perdure.server.errors import ForbiddenError, InvalidRequestError, NotFoundError, RequestError
from perdure.server.protocol import schema
from perdure.server.protocol.wire import CHANNELS, MARK, Filter
from perdure.server.routes import Call
from perdure.server.routes.runs import make
from perdure.server.schema import Command as GraphCommand
from perdure.server.schema import Config
from perdure.server.states import graph_of, state_of

_log = logging.getLogger("perdure.server.protocol")

Handler = Callable[[Call, str, Any], Awaitable[dict[str, Any]]]


class CommandError(RequestError):
    """A command that can't be done.

    Args:
        code: What the protocol calls it.
        message: What is wrong.
    """

    status = 422

    def __init__(self, code: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.code, str(self)))


async def answer(call: Call, thread_id: str, data: bytes | str, more: Mapping[str, Any] | None = None) -> Any:
    """Do what a command says; return the answer, an error too.

    Args:
        call: Who asks, of which server.
        thread_id: The thread.
        data: The command as JSON.
        more: Methods that only this connection knows.
    """
    command: schema.Command | None = None
    try:
        command = _decoder.decode(data)
        params, handler = _method(command.method, more or {})
        given = msgspec.convert(command.params, params)
        before = await call.core.database.read(events.last_of_thread, thread_id)
        result = await handler(call, thread_id, given)
    except (PerdureError, msgspec.MsgspecError, RecursionError) as e:
        return failure(None if command is None else command.id, e)
    return {"type": "success", "id": command.id, "result": result, "meta": {"applied_through_seq": before}}


def failure(command_id: int | None, error: Exception) -> dict[str, Any]:
    """Return an error as an answer."""
    code, message = code_of(error), str(error)
    if code == "unknown_error":
        _log.error("a command failed: %s", error, exc_info=error)
        message = type(error).__name__  # what is the storage's fault isn't the client's business
    return {"type": "error", "id": command_id, "error": code, "message": message}


def code_of(error: Exception) -> str:
    """Return what the protocol calls an error."""
    if isinstance(error, CommandError):
        return error.code
    if isinstance(error, ForbiddenError):
        return "permission_denied"
    is_callers = isinstance(error, (UsageError, msgspec.MsgspecError, RecursionError))
    return "invalid_argument" if is_callers else "unknown_error"


def filter_of(asked_for: schema.EventStream) -> Filter:
    """Return what is listened to.

    Raises:
        CommandError: There is no such channel.
    """
    for channel in asked_for.channels:
        if channel not in CHANNELS and not (channel.startswith("custom:") and len(channel) > len("custom:")):
            raise CommandError("invalid_argument", f"there is no channel {channel!r}", hint=", ".join(sorted(CHANNELS)))
    namespaces = None if asked_for.namespaces is None else tuple(tuple(one) for one in asked_for.namespaces)
    return Filter(frozenset(asked_for.channels), namespaces, asked_for.depth)


def _method(name: str, more: Mapping[str, Any]) -> tuple[Any, Handler]:
    found = more.get(name) or _METHODS.get(name)
    if found is not None:
        return found
    if name.startswith("subscription."):
        raise CommandError("not_supported", f"{name} needs a WebSocket", hint="POST .../stream/events listens, too")
    raise CommandError("unknown_command", f"there is no command {name!r}", hint=", ".join(sorted(_METHODS)))


# -- threads and states


async def thread_of(call: Call, thread_id: str, action: str = "read") -> dict[str, Any]:
    """Return the thread, if the caller may see it.

    Raises:
        NotFoundError: There is none for them.
    """
    filters = await call.filters("threads", action, {"thread_id": thread_id})
    found = await call.core.database.read(threads.get, thread_id, filters)
    if found is None:
        raise NotFoundError(f"there is no thread {thread_id}")
    return dict(found)


async def _questions(call: Call, thread: dict[str, Any]) -> list[Any]:
    """Return the questions that a thread waits with."""
    if thread["status"] == "busy":
        return []
    state = await state_of(call.core, thread)
    return [] if state is None else list(state.interrupts or ())


def _assistant(thread: dict[str, Any]) -> str:
    found = thread["metadata"].get("assistant_id") or thread["metadata"].get("graph_id")
    if not isinstance(found, str):
        raise InvalidRequestError(f"thread {thread['thread_id']} has not been run yet", hint="run.start")
    return found


async def _started(call: Call, thread_id: str, **fields: Any) -> dict[str, Any]:
    made = await make(call, schema.ProtocolRun(stream_resumable=True, stream_subgraphs=True, **fields), thread_id, None)
    return {"run_id": made.run["run_id"]}


# -- methods


async def run_start(call: Call, thread_id: str, given: schema.RunStart) -> dict[str, Any]:
    """Start a run. If the thread waits for an answer, and no checkpoint is named, the input is the answer."""
    filters = await call.filters("threads", "read", {"thread_id": thread_id})
    thread = await call.core.database.read(threads.get, thread_id, filters)
    fields: dict[str, Any] = {"input": None if given.input is msgspec.UNSET else given.input}
    forks = given.config is not None and "checkpoint_id" in (given.config.configurable or {})
    if thread is not None and given.input is not msgspec.UNSET and not forks and await _questions(call, thread):
        fields = {"command": GraphCommand(resume=given.input)}
    return await _started(
        call,
        thread_id,
        assistant_id=given.assistant_id,
        config=given.config,
        context=given.context,
        metadata=given.metadata,
        if_not_exists="create",
        multitask_strategy=given.multitask_strategy or given.multitaskStrategy,
        **fields,
    )


async def input_respond(call: Call, thread_id: str, given: schema.InputRespond) -> dict[str, Any]:
    """Answer questions, and go on."""
    answers = {one.interrupt_id: one.response for one in given.responses or ()}
    if given.interrupt_id is not None:
        answers[given.interrupt_id] = given.response
    if not answers:
        raise CommandError("invalid_argument", "there is no answer", hint="interrupt_id and response, or responses")
    thread = await thread_of(call, thread_id)
    known = {question.id for question in await _questions(call, thread)}
    if unknown := answers.keys() - known:
        raise CommandError("no_such_interrupt", f"thread {thread_id} doesn't ask {min(unknown)}")
    command = GraphCommand(resume=answers, update=given.update, goto=given.goto)
    about = {"assistant_id": _assistant(thread), "config": given.config, "metadata": given.metadata}
    return await _started(call, thread_id, command=command, **about)


async def input_inject(call: Call, thread_id: str, given: schema.InputInject) -> dict[str, Any]:
    """Add a message to the thread's: at once if nothing runs, or else as the next turn."""
    thread = await thread_of(call, thread_id, "update")
    message = {name: value for name, value in msgspec.to_builtins(given.message).items() if value is not None}
    values = {"messages": [message]}
    if given.namespace:
        raise CommandError("not_supported", "messages go to the graph itself", hint='"namespace": []')
    if thread["status"] == "busy":
        await _started(call, thread_id, assistant_id=_assistant(thread), input=values, multitask_strategy="enqueue")
        return {}
    if await _questions(call, thread):
        raise CommandError(
            "invalid_argument", f"thread {thread_id} waits for an answer", hint="input.respond, with an update"
        )
    async with graph_of(call.core, thread) as graph:
        if graph is None:
            raise InvalidRequestError(f"thread {thread_id} has not been run yet", hint="run.start")
        await graph.aupdate_state({"configurable": {"thread_id": thread_id}}, values)
    return {}


async def state_get(call: Call, thread_id: str, given: schema.StateGet) -> dict[str, Any]:
    """Return the state of the graph, or of one within it that waits."""
    state = await _state(call, await thread_of(call, thread_id), given.namespace)
    values = state.values if isinstance(state.values, dict) else {"value": state.values}
    if given.keys is not None:
        values = {key: values[key] for key in given.keys if key in values}
    return {"values": values, **({"checkpoint": _ref(state)} if _id(state.config) else {})}


async def _state(call: Call, thread: dict[str, Any], namespace: list[str]) -> Any:
    state = await state_of(call.core, thread, subgraphs=bool(namespace))
    for depth, part in enumerate(namespace, 1):
        tasks = () if state is None else state.tasks
        inner = [task.state for task in tasks if part in (task.name, f"{task.name}:{task.id}")]
        state = next((found for found in inner if hasattr(found, "values")), None)
        if state is None:
            raise CommandError(
                "no_such_namespace", f"{'|'.join(namespace[:depth])} isn't a graph that waits", hint="agent.getTree"
            )
    if state is None:
        raise InvalidRequestError(f"thread {thread['thread_id']} has not been run yet", hint="run.start")
    return state


def _id(config: Any) -> Any:
    return ((config or {}).get("configurable") or {}).get("checkpoint_id")


def _ref(state: Any) -> dict[str, Any]:
    ns = state.config["configurable"].get("checkpoint_ns")
    return {"id": _id(state.config), **({"ns": ns} if ns else {})}


async def state_list_checkpoints(call: Call, thread_id: str, given: schema.ListCheckpoints) -> dict[str, Any]:
    """Return checkpoints, newest first."""
    thread = await thread_of(call, thread_id)
    place = {"thread_id": thread_id, "checkpoint_ns": "|".join(given.namespace)}
    options: dict[str, Any] = {"limit": given.limit}
    if given.before is not None:
        options["before"] = {"configurable": {**place, "checkpoint_id": given.before}}
    async with graph_of(call.core, thread) as graph:
        if graph is None:
            return {"checkpoints": []}
        history = graph.aget_state_history({"configurable": place}, **options)
        return {"checkpoints": [_summary(state) async for state in history]}


def _summary(state: Any) -> dict[str, Any]:
    metadata = state.metadata or {}
    found = {"id": _id(state.config), "timestamp": state.created_at, "step": metadata.get("step", 0)}
    return {**found, "metadata": metadata}


async def state_fork(call: Call, thread_id: str, given: schema.StateFork) -> dict[str, Any]:
    """Run again from a checkpoint of the thread, with an input or as it was."""
    thread = await thread_of(call, thread_id)
    state = await state_of(call.core, thread, {"checkpoint_id": given.checkpoint_id})
    if state is None or state.created_at is None:
        raise CommandError("no_such_checkpoint", f"thread {thread_id} has no checkpoint {given.checkpoint_id}")
    config = given.config or Config()
    config.configurable = {**(config.configurable or {}), "checkpoint_id": given.checkpoint_id}
    value = None if given.input is msgspec.UNSET else given.input
    made = await _started(call, thread_id, assistant_id=_assistant(thread), input=value, config=config)
    return {**made, "thread_id": thread_id}


async def agent_get_tree(call: Call, thread_id: str, given: schema.AgentGetTree) -> dict[str, Any]:
    """Return the graphs that a run has called: of the one that is named, or of the newest."""
    await thread_of(call, thread_id)
    if given.run_id is not None:
        run = await call.core.database.read(runs.get, given.run_id, thread_id)
    else:
        run = next(iter(await call.core.database.read(runs.listed, thread_id, None, 1, 0)), None)
    if run is None:
        raise CommandError("no_such_run", f"thread {thread_id} has no run {given.run_id or 'yet'}")
    rows = await call.core.database.read(events.of_name, run["run_id"], f"{MARK}lifecycle")
    return {"tree": tree_of(run, [decode(row["data"]) for row in rows])}


_STATUS: Final = {"pending": "started", "running": "running", "success": "completed", "interrupted": "interrupted"}


def tree_of(run: Mapping[str, Any], told: list[Any]) -> dict[str, Any]:
    """Return the graphs of a run, from what was told of them."""
    status = _STATUS.get(run["status"], "failed")
    root: dict[str, Any] = {"namespace": [], "status": status, "graph_name": run["graph_id"]}
    nodes: dict[tuple[str, ...], dict[str, Any]] = {(): root}
    for params in told:
        namespace, data = tuple(params["namespace"]), params["data"]
        if namespace not in nodes:
            nodes[namespace] = {"namespace": list(namespace), "graph_name": data["graph_name"]}
            nodes.get(namespace[:-1], root).setdefault("children", []).append(nodes[namespace])
        nodes[namespace]["status"] = data["event"]
    return root


_METHODS: Final[dict[str, tuple[Any, Handler]]] = {
    "run.start": (schema.RunStart, run_start),
    "input.respond": (schema.InputRespond, input_respond),
    "input.inject": (schema.InputInject, input_inject),
    "agent.getTree": (schema.AgentGetTree, agent_get_tree),
    "state.get": (schema.StateGet, state_get),
    "state.listCheckpoints": (schema.ListCheckpoints, state_list_checkpoints),
    "state.fork": (schema.StateFork, state_fork),
}

_decoder = msgspec.json.Decoder(schema.Command)
