"""The stream modes of runs: what a graph is asked to tell, and what those who listen to the run are told of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from perdure.server.encoding import interrupts_plain
from perdure.server.messages import Growing
from perdure.stream.events import Events

REFUSED: Final = {
    "events": "events of LangChain's runnables aren't told; ask for messages-tuple, tasks or tools, or see "
    "/threads/{thread_id}/stream/events",
}
"""Stream modes that the API has and the server doesn't, and what to do instead."""

_ASKED: Final = {"messages-tuple": "messages", "lifecycle": "tasks"}
_TOOLS: Final = {
    "tool-started": ("on_tool_start", "input"),
    "tool-output-delta": ("on_tool_event", "delta"),
    "tool-finished": ("on_tool_end", "output"),
    "tool-error": ("on_tool_error", "message"),
}

Named = tuple[str, Any]


class RunModes:
    """Turns what a graph tells into what was asked for of a run.

    Args:
        wanted: The stream modes.
        with_subgraphs: Whether graphs within are told, too.

    Attributes:
        asks: The stream modes of the graph.
        needs_subgraphs: Whether it has to tell of graphs within.
    """

    def __init__(self, wanted: list[str], *, with_subgraphs: bool) -> None:
        self._wanted = frozenset(wanted)
        self._with_subgraphs = with_subgraphs
        self._growing = Growing()
        self._events = Events(shows_tasks=False) if "lifecycle" in self._wanted else None
        self._tools: dict[Any, str] = {}
        self.asks = list(dict.fromkeys(_ASKED.get(mode, mode) for mode in wanted))
        self.needs_subgraphs = with_subgraphs or self._events is not None

    def of(self, ns: tuple[str, ...], mode: str, payload: Any) -> Iterator[Named]:
        """Yield the name and data of each event of a part."""
        if self._events is not None:
            yield from _lifecycle(self._events, ns, mode, payload)
        if ns and not self._with_subgraphs:
            return
        place = "|".join(("", *ns))
        if mode == "messages":
            if "messages-tuple" in self._wanted:
                yield f"messages{place}", payload
            if "messages" in self._wanted:
                for name, told in self._growing.events(payload):
                    yield f"{name}{place}", told
        elif mode in self._wanted:
            yield f"{mode}{place}", self._tool(payload) if mode == "tools" else interrupts_plain(payload)

    def _tool(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return an event of a call of a tool under the names of the run routes."""
        name, field = _TOOLS[event["event"]]
        call = event["tool_call_id"]
        if name == "on_tool_start":
            self._tools[call] = event["tool_name"]
        going_on = name in ("on_tool_start", "on_tool_event")
        tool = self._tools.get(call, "") if going_on else self._tools.pop(call, "")
        value = event.get(field)
        return {"event": name, "toolCallId": call, "name": tool, _SHOWN.get(field, field): value}


_SHOWN: Final = {"delta": "data", "message": "error"}


def _lifecycle(events: Events, ns: tuple[str, ...], mode: str, payload: Any) -> Iterator[Named]:
    """Yield the begins and ends of graphs within."""
    for event in events.of({"ns": ns, "type": mode, "data": payload}):
        if event["method"] == "lifecycle":
            data = event["params"]["data"]
            told = {"event": data["event"], "namespace": data["namespace"]}
            if "error" in data:
                told["error"] = {"error": "GraphError", "message": data["error"]}
            yield "|".join(("lifecycle", *data["namespace"])), told
