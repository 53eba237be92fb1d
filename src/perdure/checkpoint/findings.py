"""What a look at all of a thread's bytes finds; see `BaseCheckpointSaver.check_thread`."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, NamedTuple

from perdure.errors import CorruptCheckpointError, EncryptionError, SerializationError

if TYPE_CHECKING:
    from perdure.checkpoint.base import BaseCheckpointSaver

__all__ = ["Finding", "Kind", "check_by_list"]


class Kind(enum.StrEnum):
    """What is wrong; by those of the first four something can't be read."""

    CHECKPOINT = "unreadable checkpoint"
    VALUE = "unreadable value"
    WRITES = "unreadable writes"
    UNDECODABLE = "bytes that can't be decoded"
    VERSIONS = "a version lower than the parent's"
    LOST_WRITES = "writes without a checkpoint"
    UNUSED_PIECE = "a piece that nothing needs"
    PARENT = "a parent that is gone"

    @property
    def is_damage(self) -> bool:
        """Whether something can't be read."""
        return self in (Kind.CHECKPOINT, Kind.VALUE, Kind.WRITES, Kind.UNDECODABLE)

    @property
    def remedy(self) -> str | None:
        """What `repair_thread` does about it; None: nothing, for what fits its checksum is whole."""
        return _REMEDIES.get(self)


_REMEDIES = {
    Kind.CHECKPOINT: "remove the checkpoint",
    Kind.VALUE: "remove the checkpoint",
    Kind.WRITES: "remove the writes that can't be read, so that their tasks run again",
    Kind.LOST_WRITES: "remove the writes",
    Kind.UNUSED_PIECE: "remove the piece",
}


class Finding(NamedTuple):
    """Something that isn't as it should be.

    Attributes:
        kind: What.
        thread_id: The thread.
        checkpoint_ns: The namespace in it.
        checkpoint_id: The checkpoint; None: none is concerned.
        channel: The channel whose value it is; None: none.
        message: What was found there.
    """

    kind: Kind
    thread_id: str
    checkpoint_ns: str
    checkpoint_id: str | None
    channel: str | None
    message: str


def _kind_of(error: Exception, channel: str | None) -> Kind:
    if isinstance(error, SerializationError | EncryptionError):
        return Kind.UNDECODABLE
    return Kind.CHECKPOINT if channel is None else Kind.VALUE


def check_by_list(saver: BaseCheckpointSaver[Any], thread_id: str) -> list[Finding]:
    """Read all checkpoints of a thread one by one: what can be found without knowing how a saver stores them."""
    found: list[Finding] = []
    before: Any = None
    while True:
        try:
            for one in saver.browse({"configurable": {"thread_id": thread_id}}, before=before):
                before = one.config
                one.open()
        except (CorruptCheckpointError, SerializationError) as error:
            where = vars(error)
            checkpoint_id = where.get("checkpoint_id") or (before or {}).get("configurable", {}).get("checkpoint_id")
            channel = where.get("channel")
            kind = _kind_of(error, channel)
            found.append(
                Finding(kind, thread_id, where.get("checkpoint_ns", ""), checkpoint_id, channel, str(error.args[0]))
            )
            last = (before or {}).get("configurable", {}).get("checkpoint_id")
            if checkpoint_id is None or (last is not None and checkpoint_id > last):
                return found  # it leads nowhere
            before = {"configurable": {"checkpoint_id": checkpoint_id}}
        else:
            return found
