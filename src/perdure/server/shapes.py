"""How rows and states are shown to clients."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from perdure.server import answers
from perdure.server.encoding import asked, decode, encode

_INDEX = re.compile(r"-?[0-9]{1,9}")


def shown_time(seconds: float) -> str:
    """Return a moment in ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _perhaps(seconds: float | None) -> str | None:
    return None if seconds is None else shown_time(seconds)


def shown_assistant(row: dict[str, Any]) -> answers.Assistant:
    """Return an assistant, or a version of one."""
    shown: answers.Assistant = {
        "assistant_id": row["assistant_id"],
        "graph_id": row["graph_id"],
        "version": row["version"],
        "name": row["name"],
        "description": row["description"],
        "config": row["config"],
        "context": row["context"],
        "metadata": row["metadata"],
        "created_at": shown_time(row["created_at"]),
    }
    if "updated_at" in row:
        shown["updated_at"] = shown_time(row["updated_at"])
    return shown


def shown_run(row: dict[str, Any]) -> answers.Run:
    """Return a run."""
    return {
        "run_id": row["run_id"],
        "thread_id": row["thread_id"],
        "assistant_id": row["assistant_id"],
        "status": row["status"],
        "metadata": row["metadata"],
        "kwargs": row["kwargs"],
        "multitask_strategy": row["multitask_strategy"],
        "created_at": shown_time(row["created_at"]),
        "updated_at": shown_time(row["updated_at"]),
        "cancel_reason": row["cancel"],
        "attempt": row["attempt"],
        "priority": row["priority"],
        "queue": row["queue"],
    }


def shown_row(row: dict[str, Any]) -> answers.ThreadRow:
    """Return a thread without its state."""
    return {
        "thread_id": row["thread_id"],
        "status": row["status"],
        "metadata": row["metadata"],
        "config": row["config"],
        "error": row["error"],
        "created_at": shown_time(row["created_at"]),
        "updated_at": shown_time(row["updated_at"]),
        "state_updated_at": shown_time(row["state_updated_at"]),
    }


def shown_thread(row: dict[str, Any], state: Any = None, *, with_ttl: bool = False) -> answers.Thread:
    """Return a thread with its values, of a state that may be missing."""
    tasks = () if state is None else state.tasks
    known = shown_row(row)
    shown: answers.Thread = {
        "thread_id": known["thread_id"],
        "status": known["status"],
        "metadata": known["metadata"],
        "config": known["config"],
        "error": known["error"],
        "created_at": known["created_at"],
        "updated_at": known["updated_at"],
        "state_updated_at": known["state_updated_at"],
        "values": None if state is None or state.created_at is None else state.values,
        "interrupts": {task.id: [asked(i) for i in task.interrupts] for task in tasks if task.interrupts},
    }
    if with_ttl and row["ttl_minutes"] is not None:
        shown["ttl"] = {
            "ttl_minutes": row["ttl_minutes"],
            "strategy": row["ttl_strategy"],
            "expires_at": _perhaps(row["expires_at"]),
        }
    return shown


def shown_cron(row: dict[str, Any]) -> answers.Cron:
    """Return a cron."""
    return {
        "cron_id": row["cron_id"],
        "assistant_id": row["assistant_id"],
        "thread_id": row["thread_id"],
        "schedule": row["schedule"],
        "timezone": row["timezone"],
        "on_run_completed": row["on_run_completed"],
        "payload": row["payload"],
        "metadata": row["metadata"],
        "user_id": row["user_id"],
        "enabled": bool(row["enabled"]),
        "end_time": _perhaps(row["end_time"]),
        "next_run_date": _perhaps(row["next_run_at"]),
        "created_at": shown_time(row["created_at"]),
        "updated_at": shown_time(row["updated_at"]),
    }


def shown_state(state: Any) -> answers.State:
    """Return the state of a thread."""
    checkpoint = _checkpoint(state.config)
    parent = _checkpoint(state.parent_config) if state.parent_config else None
    return {
        "values": state.values,
        "next": list(state.next),
        "tasks": [_task(task) for task in state.tasks],
        "metadata": state.metadata or {},
        "created_at": state.created_at,
        "checkpoint": checkpoint,
        "parent_checkpoint": parent,
        "interrupts": [asked(item) for item in state.interrupts or ()],
        "checkpoint_id": checkpoint["checkpoint_id"],
        "parent_checkpoint_id": parent and parent["checkpoint_id"],
    }


def _checkpoint(config: Any) -> answers.Place:
    conf = config.get("configurable") or {}
    shown: answers.Place = {
        "thread_id": conf.get("thread_id"),
        "checkpoint_ns": conf.get("checkpoint_ns") or "",
        "checkpoint_id": conf.get("checkpoint_id"),
    }
    if conf.get("checkpoint_map"):
        shown["checkpoint_map"] = conf["checkpoint_map"]
    return shown


def _task(task: Any) -> answers.Task:
    inner: Any = task.state
    is_state = inner is not None and not isinstance(inner, dict)
    return {
        "id": task.id,
        "name": task.name,
        "path": task.path,
        "error": None if task.error is None else _error(task.error),
        "interrupts": [asked(item) for item in task.interrupts],
        "checkpoint": None if inner is None else _checkpoint(getattr(inner, "config", inner)),
        "state": shown_state(inner) if is_state else None,
        "result": task.result,
    }


def _error(error: Any) -> str:
    return f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else str(error)


def selected(shown: Mapping[str, Any], select: Iterable[str] | None) -> Mapping[str, Any]:
    """Return only what was asked for; `values.key` is one key of the values."""
    if not select:
        return shown
    found: dict[str, Any] = {}
    for name in select:
        head, dot, key = name.partition(".")
        if not dot and head in shown:
            found[head] = shown[head]
        elif dot and isinstance(shown.get(head), dict) and key in shown[head]:
            found.setdefault(head, {})[key] = shown[head][key]
    return found


def extracted(thread: Mapping[str, Any], paths: dict[str, str]) -> dict[str, Any]:
    """Return what `extract` asks for: by alias, the value at a path such as `values.messages[-1].content`."""
    return {alias: _at(thread, path) for alias, path in paths.items()}


def _data(value: Any) -> dict[str, Any]:
    """Return an object as clients see it: its data, and nothing else that Python would find there."""
    found = value if isinstance(value, dict) else decode(encode(value))
    return found if isinstance(found, dict) else {}


def _at(value: Any, path: str) -> Any:
    for part in path.replace("[", ".[").split("."):
        if part.startswith("["):
            index = part.strip("[]")
            is_place = isinstance(value, (list, tuple)) and _INDEX.fullmatch(index)
            value = value[int(index)] if is_place and -len(value) <= int(index) < len(value) else None
        elif part:
            value = _data(value).get(part)
        if value is None:
            return None
    return value
