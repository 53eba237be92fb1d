"""How much a thread takes, and what of it; see `BaseCheckpointSaver.measure_thread`."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from perdure.errors import CorruptCheckpointError, SerializationError

if TYPE_CHECKING:
    from perdure.checkpoint.base import BaseCheckpointSaver

__all__ = ["ChannelSize", "ThreadSize", "measure_by_list"]


class ChannelSize:
    """What a channel's values take.

    Attributes:
        stored: Bytes in the store, for all checkpoints.
        whole: Bytes that they would take if each checkpoint had its own.
        latest: Bytes of the value that was looked at last.
    """

    __slots__ = ("latest", "stored", "whole")

    def __init__(self) -> None:
        self.stored = 0
        self.whole = 0
        self.latest = 0


class ThreadSize:
    """What a thread takes.

    Attributes:
        thread_id: The thread.
        checkpoints: How many it has.
        unreadable: Of how many of these something can't be read; that isn't counted.
        records: Bytes of what isn't a channel's: versions, metadata, writes.
        channels: Of each channel, by name.
        days: Bytes stored for the checkpoints that were made on a day (UTC), by its date.
        knows_stored: Whether the saver tells what it stores; else only `whole` and `latest` mean something.
    """

    def __init__(self, thread_id: str, *, knows_stored: bool) -> None:
        self.thread_id = thread_id
        self.checkpoints = 0
        self.unreadable = 0
        self.records = 0
        self.channels: dict[str, ChannelSize] = defaultdict(ChannelSize)
        self.days: dict[str, int] = defaultdict(int)
        self.knows_stored = knows_stored

    @property
    def stored(self) -> int:
        """All bytes in the store, without what a database adds."""
        return self.records + sum(channel.stored for channel in self.channels.values())

    @property
    def whole(self) -> int:
        """The bytes that its values would take if each checkpoint had its own."""
        return sum(channel.whole for channel in self.channels.values())

    def note(self, channel: str, whole: int) -> None:
        """Count a value."""
        size = self.channels[channel]
        size.whole += whole
        size.latest = whole


def measure_by_list(saver: BaseCheckpointSaver[Any], thread_id: str) -> ThreadSize:
    """Encode all values of a thread anew: what can be told without knowing how a saver stores them."""
    size = ThreadSize(thread_id, knows_stored=False)
    for one in saver.browse({"configurable": {"thread_id": thread_id}}):
        size.checkpoints += 1
        try:
            for channel, value in one.open().checkpoint["channel_values"].items():
                whole = len(saver.serde.dumps_typed(value)[1])
                latest = size.channels[channel].latest  # the newest comes first
                size.note(channel, whole)
                size.channels[channel].latest = latest or whole
        except (CorruptCheckpointError, SerializationError):
            size.unreadable += 1
    return size
