"""When a stream tells that a run has come to its end.

A client listens to more by opening a wider stream, and closes the first when the second has been answered. Until then
it takes a run's end on the first for the end of all that it listens to, and gives up what it hasn't been told yet. So
an end that is news waits until the stream has been open for a moment, in which its client may be about to open a wider
one, and until all streams of the thread have been told what came before it. What isn't an end never waits.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from perdure.server.database import now

if TYPE_CHECKING:
    from perdure.server.streams import Frame, Streams

_MOMENT: Final = 0.25
"""Seconds in which the client of a new stream may be about to open a wider one."""

_GLANCE: Final = 0.005
_GLANCES: Final = 100
"""How often it is looked whether other streams have been told, at most: half a second long."""

_NEWS: Final = 10.0
"""Seconds after which an end is no news: whoever started the run has given up or been told."""


class Ends:
    """The ends that streams of this process have told lately.

    Args:
        streams: Who listens.
    """

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._told: dict[int, float] = {}

    async def wait(self, thread_id: str, end: Frame, opened: float) -> None:
        """Wait until a stream may tell an end, for less than a second.

        Args:
            thread_id: The thread.
            end: The event that says so.
            opened: When the stream was opened, in seconds since 1970.
        """
        if end.event in self._told or now() - end.at > _NEWS:
            return
        await asyncio.sleep(opened + _MOMENT - now())
        for _ in range(_GLANCES):
            if not self._streams.lags(thread_id, end.event):
                break
            await asyncio.sleep(_GLANCE)
        self._note(end)

    def _note(self, end: Frame) -> None:
        moment = now()
        for event, at in list(self._told.items()):
            if moment - at < _NEWS:
                break
            del self._told[event]
        self._told[end.event] = moment
