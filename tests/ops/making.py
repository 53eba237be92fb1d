"""Histories for tests: threads with forks, namespaces, writes of every kind, and values of every size."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from perdure.checkpoint.base import BaseCheckpointSaver
from perdure.checkpoint.conformance.case import checkpoint, place
from perdure.types import Interrupt, Send

Saver = BaseCheckpointSaver[Any]


@dataclass
class Note:
    text: str
    at: datetime


_minutes = itertools.count()

NAMESPACES = ("", "inner:1f", 'inner:1f|deep:\x00 and "quoted"')
THREADS = ("one", "two / two", "drei \N{SNOWMAN}")


def _values(before: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    values = dict(before)
    values["items"] = [*values.get("items", []), {"role": "user", "content": rng.randbytes(rng.randrange(300)).hex()}]
    if rng.random() < 0.3:
        values["items"] = values["items"][rng.randrange(3) :]
    if rng.random() < 0.5:
        values["note"] = Note(rng.randbytes(8).hex(), datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=rng.random()))
    if rng.random() < 0.2:
        values["odd"] = rng.choice([float("nan"), None, {1: 2, None: (3, {4})}, b"\0\xff", "\ud800", 2**70])
    elif rng.random() < 0.2:
        values.pop("odd", None)
    values["n"] = values.get("n", 0) + 1
    return values


def _writes(rng: random.Random) -> list[tuple[str, Any]]:
    return rng.choice(
        [
            [("items", [{"role": "user", "content": "x" * 400}]), ("n", 1)],
            [("__interrupt__", [Interrupt({"go on": True}, id="i" * 32)])],
            [("__error__", ValueError("no")), ("__resume__", ["yes", 1])],
            [("n", 5), ("__pregel_tasks", Send("node", {"arg": [1]}))],
        ]
    )


def grow(saver: Saver, thread_id: str, seed: int, steps: int = 12) -> None:
    """Add checkpoints and writes to a thread: mostly behind its head, sometimes to an older one."""
    rng = random.Random(f"{thread_id} {seed}")
    for _ in range(steps):
        ns = rng.choice([*NAMESPACES, "", ""])
        held = list(saver.list(place(thread_id, ns)))
        base = None
        if held:
            base = held[0] if rng.random() < 0.8 else rng.choice(held)
        before = base.checkpoint if base else None
        values = _values(before["channel_values"] if before else {}, rng)
        versions = dict(before["channel_versions"]) if before else {}
        changed = {name: max(versions.values(), default=0) + 1 for name in {*values, *versions}}
        parent = before["id"] if before else None
        made = checkpoint(values, {**versions, **changed}, after=held[0].checkpoint["id"] if held else None)
        made["ts"] = (datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=next(_minutes))).isoformat()
        made["versions_seen"] = {"node": dict(versions)}
        about: Any = {"source": "loop", "step": len(held), "user": rng.choice("ab"), "run_id": f"run {seed}"}
        config = saver.put(place(thread_id, ns, parent), made, about, changed)
        for task in range(rng.randrange(3)):
            saver.put_writes(config, _writes(rng), f"task {task}", f"~path {2 - task}")


def history(saver: Saver, seed: int = 0) -> Saver:
    """Fill a saver with threads."""
    for thread_id in THREADS:
        grow(saver, thread_id, seed)
    return saver
