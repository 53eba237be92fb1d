"""From the parts that a graph's `stream` tells (form v2) to events: its own, and those of graphs that begin and end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from perdure.stream.transformers import LifecyclePayload, ProtocolEvent, SubgraphStatus, name_of

Scope = tuple[str, ...]


class Events:
    """Makes the events of one run. It remembers nothing but the graphs that have begun and not ended.

    Args:
        shows_tasks: Whether tasks are told too; they say when graphs end, so they must be among the parts.
    """

    def __init__(self, *, shows_tasks: bool) -> None:
        self.shows_tasks = shows_tasks
        self._open: set[Scope] = set()
        self._seq = 0

    def of(self, part: Mapping[str, Any]) -> Iterator[ProtocolEvent]:
        """Yield the events of a part: first of graphs that begin with it, or end."""
        namespace: Scope = tuple(part["ns"])
        for depth in range(1, len(namespace) + 1):
            if namespace[:depth] not in self._open:
                yield self._begun(namespace[:depth])
        mode, data = part["type"], part["data"]
        if mode == "tasks" and "result" in data:
            inner = (*namespace, f"{data['name']}:{data['id']}")
            if inner in self._open:
                yield self._ended(inner, data)
        if mode != "tasks" or self.shows_tasks:
            yield self._event(mode, namespace, data, part.get("interrupts"))

    def _event(self, method: str, namespace: Scope, data: Any, interrupts: Any = None) -> ProtocolEvent:
        self._seq += 1
        event: ProtocolEvent = {
            "type": "event",
            "method": method,
            "params": {"namespace": list(namespace), "timestamp": time.time_ns() // 1_000_000, "data": data},
            "seq": self._seq,
        }
        if method == "values":
            event["params"]["interrupts"] = tuple(interrupts or ())
        return event

    def _begun(self, scope: Scope) -> ProtocolEvent:
        self._open.add(scope)
        node, task = name_of(scope)
        payload: LifecyclePayload = {
            "event": "started",
            "namespace": list(scope),
            "graph_name": node,
            "trigger_call_id": task,
        }
        return self._event("lifecycle", scope[:-1], payload)

    def _ended(self, scope: Scope, result: Mapping[str, Any]) -> ProtocolEvent:
        self._open.discard(scope)
        error = result.get("error")
        status: SubgraphStatus = "failed" if error else "interrupted" if result.get("interrupts") else "completed"
        payload: LifecyclePayload = {"event": status, "namespace": list(scope)}
        if error is not None:
            payload["error"] = str(error)
        return self._event("lifecycle", scope[:-1], payload)
