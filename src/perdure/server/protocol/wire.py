"""Events as they are stored and sent, and what somebody listens to.

An event's row has a name and data. The name is `~`, the channel, and the namespace: `~updates`, `~values|node:task`,
`~custom:progress|node:task`. The data is the event's `params`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from perdure.server.encoding import number_in
from perdure.server.streams import Frame

MARK: Final = "~"
"""What the names of the protocol's events begin with, among those of runs."""

TOLD: Final = "~told"
"""Says that a watcher has heard of a run's end; nobody is sent it."""

CHANNELS: Final = frozenset({
    "values", "updates", "messages", "tools", "lifecycle", "input", "checkpoints", "tasks", "custom",
})  # fmt: skip

_WATCHED: Final = frozenset({"lifecycle", "input"})
_METHODS: Final = {"input": "input.requested"}


class Told(NamedTuple):
    """An event on its way into the database.

    Attributes:
        name: See above.
        params: What it tells.
    """

    name: str
    params: dict[str, Any]


def told(channel: str, namespace: Sequence[str], data: Any, node: str | None = None) -> Told:
    """Make an event."""
    params = {"namespace": list(namespace), "timestamp": time.time_ns() // 1_000_000, "data": data}
    if node:
        params["node"] = node
    return Told("|".join((f"{MARK}{channel}", *namespace)), params)


class Filter(NamedTuple):
    """What somebody listens to.

    Attributes:
        channels: Names; `custom:x` is what graphs tell under the name x, `custom` all of that.
        namespaces: Beginnings of namespaces; None: all. A part without `:` stands for any task of that node.
        depth: How far below those; None: any.
    """

    channels: frozenset[str]
    namespaces: tuple[tuple[str, ...], ...] | None = None
    depth: int | None = None

    @property
    def is_watcher(self) -> bool:
        """Whether only begins, ends and questions are listened to: a client's way to know how its run ends."""
        return self.channels <= _WATCHED

    def wants(self, frame: Frame) -> bool:
        """Tell whether an event is to be sent."""
        if not frame.name.startswith(MARK) or frame.name == TOLD:
            return False
        channel, *namespace = frame.name[len(MARK) :].split("|")
        if channel not in self.channels and not (channel.startswith("custom:") and "custom" in self.channels):
            return False
        if not self.namespaces:
            return True
        return any(
            _begins(namespace, prefix) and (self.depth is None or len(namespace) - len(prefix) <= self.depth)
            for prefix in self.namespaces
        )


def _begins(namespace: Sequence[str], prefix: Sequence[str]) -> bool:
    if len(prefix) > len(namespace):
        return False
    return all(
        part == wanted or (":" not in wanted and part.partition(":")[0] == wanted)
        for part, wanted in zip(namespace, prefix, strict=False)
    )


_ENDS: Final = (b'"event":"completed"', b'"event":"failed"')
_STOPS: Final = (*_ENDS, b'"event":"interrupted"')


def is_root_end(frame: Frame) -> bool:
    """Tell whether an event says that a run has come to its end, well or not."""
    return frame.name == f"{MARK}lifecycle" and any(end in frame.data for end in _ENDS)


def is_root_stop(frame: Frame) -> bool:
    """Tell whether an event says that a run has come to its end, or waits for an answer."""
    return frame.name == f"{MARK}lifecycle" and any(stop in frame.data for stop in _STOPS)


def event_json(frame: Frame) -> bytes:
    """Return an event as it is sent."""
    channel = frame.name[len(MARK) :].partition("|")[0].partition(":")[0]
    # Clients know by this form of the id which run an end belongs to.
    kind = "synth:" if channel == "lifecycle" else ""
    return b'{"type":"event","event_id":"%b%b:%d","seq":%d,"method":"%b","params":%b}' % (
        kind.encode(), frame.run_id.encode(), frame.seq, frame.event, _METHODS.get(channel, channel).encode(),
        frame.data,
    )  # fmt: skip


def event_sse(frame: Frame) -> bytes:
    """Return an event as a part of an SSE stream."""
    channel = frame.name[len(MARK) :].partition("|")[0].partition(":")[0]
    method = _METHODS.get(channel, channel).encode()
    return b"event: %b\r\ndata: %b\r\nid: %d\r\n\r\n" % (method, event_json(frame), frame.event)


def number_of(event_id: str) -> tuple[str, int] | None:
    """Return the run and the number in it that an event's id names; None: it is no such id."""
    run_id, _, seq = event_id.removeprefix("synth:").partition(":")
    found = number_in(seq)
    return None if found is None else (run_id, found)
