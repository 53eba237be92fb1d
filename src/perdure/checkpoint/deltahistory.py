"""What led to a channel's value: the stored value before it, and the writes since; derived from `get_tuple`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

if TYPE_CHECKING:
    from perdure.checkpoint.base import CheckpointTuple
    from perdure.checkpoint.derived import Derivation
    from perdure.types import RunnableConfig


class DeltaChannelHistory(TypedDict):
    """What led to a channel's value at a checkpoint.

    Attributes:
        writes: (task id, channel, value), in the order in which the channel took them.
        seed: The value that they were added to; not there if there was none.
    """

    writes: list[tuple[str, str, Any]]
    seed: NotRequired[Any]


def delta_history(config: RunnableConfig, channels: Sequence[str]) -> Derivation[dict[str, DeltaChannelHistory]]:
    """Walk back from a checkpoint, for each channel to the nearest ancestor that has a value of it.

    A checkpoint here has the values of all its channels, so that is the parent, unless the channel was empty there.
    """
    found: CheckpointTuple | None = yield "get_tuple", (config,), {}
    histories = {channel: DeltaChannelHistory(writes=[]) for channel in channels}
    open_ = set(channels)
    while open_ and found is not None and found.parent_config is not None:
        found = yield "get_tuple", (found.parent_config,), {}
        if found is None:
            break
        values = found.checkpoint["channel_values"]
        for channel in sorted(open_):
            history = histories[channel]
            history["writes"][:0] = [write for write in found.pending_writes or () if write[1] == channel]
            if channel in values:
                history["seed"] = values[channel]
                open_.remove(channel)
    return histories
