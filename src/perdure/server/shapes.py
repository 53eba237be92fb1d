"""How rows and states are shown to clients."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from perdure.server.encoding import asked, decode, encode

_INDEX = re.compile(r"-?[0-9]{1,9}")
_PLACE = ("thread_id", "checkpoint_ns", "checkpoint_id")


def shown_time(seconds: float | None) -> str | None:
    """Return a moment in ISO 8601."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def shown_assistant(row: dict[str, Any]) -> dict[str, Any]:
    """Return an assistant, or a version of one."""
    return row | {name: shown_time(row[name]) for name in ("created_at", "updated_at") if name in row}


def shown_run(row: dict[str, Any]) -> dict[str, Any]:
    """Return a run."""
    names = ("run_id", "thread_id", "assistant_id", "status", "metadata", "kwargs", "multitask_strategy")
    shown = {name: row[name] for name in names}
    shown["created_at"], shown["updated_at"] = shown_time(row["created_at"]), shown_time(row["updated_at"])
    about = {name: row[name] for name in ("attempt", "priority", "queue")}
    return {**shown, "cancel_reason": row["cancel"], **about}


def shown_thread(row: dict[str, Any], state: Any = None, *, with_ttl: bool = False) -> dict[str, Any]:
    """Return a thread with its values, of a state that may be missing."""
    names = ("thread_id", "status", "metadata", "config", "error")
    shown = {name: row[name] for name in names}
    for name in ("created_at", "updated_at", "state_updated_at"):
        shown[name] = shown_time(row[name])
    shown["values"] = None if state is None or state.created_at is None else state.values
    tasks = () if state is None else state.tasks
    shown["interrupts"] = {task.id: [asked(i) for i in task.interrupts] for task in tasks if task.interrupts}
    if with_ttl and row["ttl_minutes"] is not None:
        shown["ttl"] = {
            "ttl_minutes": row["ttl_minutes"],
            "strategy": row["ttl_strategy"],
            "expires_at": shown_time(row["expires_at"]),
        }
    return shown


def shown_cron(row: dict[str, Any]) -> dict[str, Any]:
    """Return a cron."""
    names = (
        "cron_id", "assistant_id", "thread_id", "schedule", "timezone", "on_run_completed", "payload", "metadata",
        "user_id",
    )  # fmt: skip
    shown = {name: row[name] for name in names} | {"enabled": bool(row["enabled"])}
    times = {"end_time": "end_time", "next_run_date": "next_run_at", "created_at": "created_at"}
    shown |= {name: shown_time(row[column]) for name, column in times.items()}
    return shown | {"updated_at": shown_time(row["updated_at"])}


def shown_state(state: Any) -> dict[str, Any]:
    """Return the state of a thread."""
    checkpoint = _checkpoint(state.config)
    parent = _checkpoint(state.parent_config) if state.parent_config else None
    interrupts = [asked(item) for item in state.interrupts or ()]
    return {
        "values": state.values,
        "next": list(state.next),
        "tasks": [_task(task) for task in state.tasks],
        "metadata": state.metadata or {},
        "created_at": state.created_at,
        "checkpoint": checkpoint,
        "parent_checkpoint": parent,
        "interrupts": interrupts,
        "checkpoint_id": checkpoint["checkpoint_id"],
        "parent_checkpoint_id": parent and parent["checkpoint_id"],
    }


def _checkpoint(config: Any) -> dict[str, Any]:
    conf = config.get("configurable") or {}
    shown = {name: conf.get(name) for name in _PLACE}
    shown["checkpoint_ns"] = shown["checkpoint_ns"] or ""
    return shown | ({"checkpoint_map": conf["checkpoint_map"]} if conf.get("checkpoint_map") else {})


def _task(task: Any) -> dict[str, Any]:
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


def selected(shown: dict[str, Any], select: Iterable[str] | None) -> dict[str, Any]:
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


def extracted(thread: dict[str, Any], paths: dict[str, str]) -> dict[str, Any]:
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
