"""Making runs: from what a request asks for to a row, which is run at once if there is room."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec

from perdure.checkpoint.ids import new_id
from perdure.server.database import assistants, runs
from perdure.server.encoding import encode_text
from perdure.server.errors import InvalidRequestError, NotFoundError, TakenError
from perdure.server.graphs import assistant_of
from perdure.server.modes import REFUSED

if TYPE_CHECKING:
    from perdure.database.operation import Op
    from perdure.server.core import Core
    from perdure.server.database import Statements
    from perdure.server.schema import RunCreate
    from perdure.server.streams import Listener

_RESERVED: Final = "__"
_KEYS: Final = uuid.UUID("6f3c2a1e-8a52-4d43-9d0e-5d4f8f1f6b52")


class Made(NamedTuple):
    """A run that was made, and who listens to it, if anybody."""

    run: dict[str, Any]
    listener: Listener | None


async def assistant_named(core: Core, name: str, filters: str | None = None) -> dict[str, Any]:
    """Return an assistant by its id, or a graph's own by the graph's name.

    Raises:
        NotFoundError: There is none.
    """
    assistant_id = assistant_of(name) if core.graphs.known(name) else name
    found = await core.database.read(assistants.get, assistant_id, filters)
    if found is None:
        raise NotFoundError(f"there is no assistant {name!r}", hint=f"graphs: {', '.join(core.graphs.names)}")
    if not core.graphs.known(found["graph_id"]):
        raise NotFoundError(f"the graph {found['graph_id']!r} of assistant {name!r} isn't served here any more")
    return found


async def make_run(
    core: Core,
    asked: RunCreate,
    thread_id: str | None,
    *,
    caller: dict[str, Any] | None,
    filters: str | None,
    assistant_filters: str | None = None,
    listens: Literal["stream", "result"] | None = None,
    modes: list[str] | None = None,
    extra_configurable: dict[str, Any] | None = None,
    key: str | None = None,
    condition: Callable[[Statements], Op[bool]] | None = None,
) -> Made:
    """Make a run, and run it at once if there is room and its thread is free.

    Args:
        asked: What is asked for.
        thread_id: The thread; None for one of the run's own.
        caller: Who asks.
        filters: What of threads they may see.
        assistant_filters: What of assistants they may see.
        listens: Whether somebody listens from the beginning: to all, or for the output.
        modes: Stream modes, instead of those that are asked for.
        extra_configurable: More parameters, such as headers.
        condition: An operation of the same transaction; if it says no, nothing is made.
        key: Names the request: made again with the same key, it gives the same run, for as long as that is kept.

    Raises:
        RequestError: It can't be made.
    """
    assistant = await assistant_named(core, asked.assistant_id, assistant_filters)
    kwargs = _kwargs(core, asked, assistant, modes, extra_configurable)
    is_stateless = thread_id is None
    kwargs["on_completion"] = (asked.on_completion or "delete") if is_stateless else "keep"
    run_id, thread_id = _ids(key, caller, thread_id)
    about = {"graph_id": assistant["graph_id"], "assistant_id": assistant["assistant_id"]}
    queue = core.queues.choose(asked.queue, assistant["graph_id"])
    metadata = {**assistant["metadata"], **(asked.metadata or {})}
    queue_key = core.queues.key_of(queue, metadata, kwargs, caller)
    # What has limits is claimed from its queue, in turn. From here on nothing fails before the place is given back.
    can_claim = not asked.after_seconds and not core.queues.is_limited(queue) and core.worker.reserve()
    new = runs.NewRun(
        run_id=run_id,
        thread_id=thread_id,
        assistant_id=assistant["assistant_id"],
        graph_id=assistant["graph_id"],
        metadata=metadata,
        kwargs=kwargs,
        strategy=asked.multitask_strategy or "enqueue",
        priority=asked.priority,
        delay=asked.after_seconds or 0.0,
        config=kwargs["config"],
        create_thread=is_stateless or asked.if_not_exists == "create",
        holder=core.worker.holder if can_claim else None,
        lease=core.settings.lease,
        watched=listens is not None,
        caller=caller,
        thread_metadata=about | (_owned(filters) if filters else {}),
        keyed=key is not None,
        queue=queue,
        queue_key=queue_key,
        trace=None if core.telemetry is None else core.telemetry.carried(),
    )
    listener = core.streams.listen(run_id, for_result=listens == "result") if listens else None
    run: dict[str, Any] | None = None
    is_claimed = False
    try:
        # Who waits notices a power failure; who doesn't was promised the run.
        write = core.database.lightly if listens else core.database.write
        if condition is None:
            made = await write(runs.create, new, filters)
        else:
            made = await write(runs.create_if, condition, new, filters)
        run = made.run
        if run is None:
            raise _refusal(made, new)
        is_claimed = made.refusal is None and run["status"] == "running"
    finally:
        if can_claim and not is_claimed:
            core.worker.release()
        if run is None and listener is not None:
            core.streams.leave(run_id, listener)
    assert run is not None
    if made.refusal is None:
        _began(core, run, made, new)
    return Made(run, listener)


def _began(core: Core, run: dict[str, Any], made: runs.Created, new: runs.NewRun) -> None:
    if run["status"] == "running":
        core.worker.begin(run)
        core.worker.release()
    for run_id in made.stopped:
        core.hints.cancel(run_id, new.strategy)
    for run_id in made.removed:
        core.streams.close(run_id)
    if run["status"] == "pending" and not new.delay:
        core.hints.queue()


def _kwargs(
    core: Core, asked: RunCreate, assistant: dict[str, Any], modes: list[str] | None, extra: dict[str, Any] | None
) -> dict[str, Any]:
    """Return what a run is made with, as its row keeps it."""
    wanted = modes
    if wanted is None:
        wanted = [asked.stream_mode] if isinstance(asked.stream_mode, str) else list(asked.stream_mode)
    for mode in wanted:
        if mode in REFUSED:
            raise InvalidRequestError(f"stream_mode {mode!r} isn't served", hint=REFUSED[mode])
    if asked.feedback_keys:
        raise InvalidRequestError("feedback_keys need LangSmith, which isn't used here", hint="leave them out")
    core.webhooks.policy.check(asked.webhook)
    config = merged_config(assistant["config"], msgspec.to_builtins(asked.config) if asked.config else {}, extra)
    durability = asked.durability
    if durability is None and asked.checkpoint_during is not None:
        durability = "async" if asked.checkpoint_during else "exit"
    checkpoint = msgspec.to_builtins(asked.checkpoint) if asked.checkpoint else {}
    if asked.checkpoint_id:
        checkpoint["checkpoint_id"] = asked.checkpoint_id
    kwargs = {
        "input": asked.input,
        "command": command_of(asked),
        "config": config,
        "context": {**assistant["context"], **(asked.context or {})},
        "checkpoint": {k: v for k, v in checkpoint.items() if v},
        "webhook": asked.webhook,
        "interrupt_before": asked.interrupt_before,
        "interrupt_after": asked.interrupt_after,
        "durability": durability,
    }
    kept = {name: value for name, value in kwargs.items() if value not in (None, {}, [])}
    if asked.input is not None:
        kept["input"] = asked.input  # an empty one begins a run; none at all goes on with one
    return kept | {
        "config": config,
        "stream_mode": wanted,
        "stream_subgraphs": asked.stream_subgraphs,
        "stream_resumable": asked.stream_resumable,
        **({"protocol": True} if getattr(asked, "protocol", False) else {}),
    }


def merged_config(base: dict[str, Any], own: dict[str, Any], extra: dict[str, Any] | None) -> dict[str, Any]:
    """Merge an assistant's config with a run's own."""
    merged = {**base, **{k: v for k, v in own.items() if v is not None}}
    configurable = {
        **(base.get("configurable") or {}),
        **(own.get("configurable") or {}),
        **(extra or {}),
    }
    merged["configurable"] = {k: v for k, v in configurable.items() if not k.startswith(_RESERVED)}
    if tags := [*(base.get("tags") or ()), *(own.get("tags") or ())]:
        merged["tags"] = tags
    return merged


def command_of(asked: Any) -> dict[str, Any] | None:
    """Return a command as a row keeps it: what wasn't said isn't there."""
    command = asked.command
    if command is None:
        return None
    if command.graph not in (None, "__parent__"):
        raise InvalidRequestError("command.graph can only be __parent__")
    told: dict[str, Any] = {}
    if command.resume is not msgspec.UNSET:
        told["resume"] = command.resume
    if command.update is not None:
        told["update"] = command.update
    if command.goto is not None:
        told["goto"] = msgspec.to_builtins(command.goto)
    if not told:
        raise InvalidRequestError("command is empty", hint="resume, update or goto")
    return told


def _refusal(made: runs.Created, new: runs.NewRun) -> Exception:
    if made.refusal == "not now":
        return TakenError(f"run {new.run_id} isn't made: its moment was another's")
    if made.refusal == "busy":
        return TakenError(
            f"Thread is already running a task: {new.thread_id}",
            hint="multitask_strategy says what to do then: enqueue, interrupt, rollback, reject",
        )
    return NotFoundError(f"there is no thread {new.thread_id}", hint='if_not_exists: "create" makes one')


def _ids(key: str | None, caller: dict[str, Any] | None, thread_id: str | None) -> tuple[str, str]:
    """Return the ids of a run and its thread: new ones, or those that belong to a caller's key."""
    if key is None:
        return new_id(), thread_id or new_id()
    name = encode_text([(caller or {}).get("identity"), thread_id, key])  # no two of these are the same text
    run_id = str(uuid.uuid5(_KEYS, f"run{name}"))
    return run_id, thread_id or str(uuid.uuid5(_KEYS, f"thread{name}"))


def _owned(filters: str) -> dict[str, Any]:
    """Return the metadata that makes a new thread visible to its maker."""
    alternatives = msgspec.json.decode(filters)
    return dict(alternatives[0]) if len(alternatives) == 1 else {}
