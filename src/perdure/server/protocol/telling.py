"""What a run tells, as events of the protocol: every channel of it, whoever listens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from perdure.server.encoding import interrupts_plain
from perdure.server.protocol.messages import Messages
from perdure.server.protocol.wire import Told, told
from perdure.stream.events import Events

MODES: Final = ("values", "updates", "messages", "custom", "tasks", "checkpoints", "tools")
"""What the graph of a run that tells all channels is asked to tell, with all graphs within."""

_ASKS: Final = "__interrupt__"


class Teller:
    """Turns the parts of one run into events.

    Args:
        graph_name: The graph's name.
    """

    def __init__(self, graph_name: str) -> None:
        self._graph_name = graph_name
        self._events = Events(shows_tasks=True)
        self._messages = Messages()
        self._asked: dict[str, tuple[str, ...]] = {}

    def begin(self) -> Told:
        """Say that the run runs."""
        return told("lifecycle", (), {"event": "running", "graph_name": self._graph_name})

    def of(self, namespace: tuple[str, ...], mode: str, payload: Any) -> Iterator[Told]:
        """Yield the events of a part."""
        self._note_questions(namespace, mode, payload)
        for event in self._events.of({"ns": namespace, "type": mode, "data": payload}):
            data = event["params"]["data"]
            if event["method"] == "lifecycle":
                yield _lifecycle(data)
            else:
                yield from self._channel(mode, namespace, data)

    def _channel(self, mode: str, namespace: tuple[str, ...], data: Any) -> Iterator[Told]:
        if mode == "messages":
            for node, event in self._messages.of(namespace, *data):
                yield told("messages", namespace, event, node)
        elif mode == "updates":
            for node, values in data.items():
                if not node.startswith("__"):
                    yield told("updates", namespace, {"node": node, "values": values}, node)
        elif mode == "values":
            yield told("values", namespace, _without_questions(data))
        elif mode == "tools":
            yield told("tools", namespace, data)
        elif mode == "checkpoints":
            yield told("checkpoints", namespace, _checkpoint(data))
        elif mode == "custom":
            name = data.get("name") if isinstance(data, dict) and "payload" in data else None
            is_named = isinstance(name, str) and name and "|" not in name
            yield told(f"custom:{name}" if is_named else "custom", namespace, data if is_named else {"payload": data})
        else:
            if "result" in data:
                for node, event in self._messages.close(namespace, data["name"]):
                    yield told("messages", namespace, event, node)
            yield told("tasks", namespace, interrupts_plain(data))

    def _note_questions(self, namespace: tuple[str, ...], mode: str, payload: Any) -> None:
        """Remember where questions come from: the innermost graph tells them first."""
        if mode == "updates" and _ASKS in payload:
            for question in payload[_ASKS]:
                self._asked.setdefault(question.id, namespace)

    @staticmethod
    def values(values: Any) -> Told:
        """Make an event of a whole state."""
        return told("values", (), _without_questions(values))

    def end(self, event: str, questions: Sequence[Mapping[str, Any]], error: str | None) -> Iterator[Told]:
        """Yield the events of the run's end.

        Args:
            event: `completed`, `failed` or `interrupted`.
            questions: Those that are open.
            error: What went wrong.
        """
        for namespace, node, message in self._messages.close_all(error):
            yield told("messages", namespace, message, node)
        for question in questions:
            yield requested(question, self._asked.get(question["id"], ()))
        more = {} if error is None else {"error": error}
        yield told("lifecycle", (), {"event": event, "graph_name": self._graph_name, **more})


def requested(question: Mapping[str, Any], namespace: Sequence[str]) -> Told:
    """Say that an answer is waited for. Clients read the question's value under two names."""
    data = {"interrupt_id": question["id"], "payload": question["value"], "value": question["value"]}
    return told("input", namespace, data)


def _lifecycle(data: Mapping[str, Any]) -> Told:
    """Say that a graph within has begun or ended; its own namespace says which."""
    namespace = data["namespace"]
    more = {name: data[name] for name in ("trigger_call_id", "error") if name in data}
    graph_name = namespace[-1].partition(":")[0]
    return told("lifecycle", namespace, {"event": data["event"], "graph_name": graph_name, **more})


def _without_questions(values: Any) -> Any:
    if not isinstance(values, dict) or _ASKS not in values:
        return values
    return {key: value for key, value in values.items() if key != _ASKS}


def _checkpoint(data: Mapping[str, Any]) -> dict[str, Any]:
    metadata = data.get("metadata") or {}
    found = {
        "id": data["config"]["configurable"]["checkpoint_id"],
        "step": metadata.get("step"),
        "source": metadata.get("source"),
    }
    parent = data.get("parent_config")
    return found if not parent else {**found, "parent_id": parent["configurable"]["checkpoint_id"]}
