"""What of a database is meant: all of it, or some threads, a time, some metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from perdure.checkpoint.base import BaseCheckpointSaver, Checkpoint, StoredCheckpoint

__all__ = ["EVERYTHING", "Selection"]


@dataclass(frozen=True)
class Selection:
    """Which checkpoints an operation is about.

    Attributes:
        threads: Their ids; None: all threads.
        since: Only checkpoints made at this moment or later.
        until: Only checkpoints made at this moment or earlier.
        metadata: Keys and the values that a checkpoint's metadata must have, all of them.
        up_to: Only this checkpoint and those with lesser ids, in all namespaces: ids grow as a thread goes on.
    """

    threads: Sequence[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    up_to: str | None = None

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return self.threads is None and self.is_whole

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out of a thread."""
        return self.since is None and not self.metadata and not self.ends

    @property
    def ends(self) -> bool:
        """Whether a thread's last checkpoints may be left out."""
        return self.until is not None or self.up_to is not None

    def threads_of(self, saver: BaseCheckpointSaver[Any]) -> Iterator[str]:
        """Return the ids of the threads that are meant and may be in a database."""
        return saver.threads() if self.threads is None else iter(dict.fromkeys(self.threads))

    def browse(self, saver: BaseCheckpointSaver[Any], thread_id: str, **scope: Any) -> Iterator[StoredCheckpoint]:
        """Iterate over a thread's checkpoints that are meant, in all namespaces, greatest id first."""
        found = saver.browse({"configurable": {"thread_id": thread_id}}, filter=dict(self.metadata) or None, **scope)
        return (one for one in found if self._has(one.config["configurable"]["checkpoint_id"], one.ts))

    def takes(self, checkpoint: Checkpoint, metadata: Mapping[str, Any]) -> bool:
        """Tell whether a checkpoint is meant, but for its thread."""
        return self._has(checkpoint["id"], checkpoint["ts"]) and all(
            key in metadata and metadata[key] == v for key, v in self.metadata.items()
        )

    def _has(self, checkpoint_id: str, ts: str) -> bool:
        if self.up_to is not None and checkpoint_id > self.up_to:
            return False
        if self.since is None and self.until is None:
            return True
        made = datetime.fromisoformat(ts).astimezone()  # without a zone it is a local time
        is_late = self.since is None or made >= self.since.astimezone()
        return is_late and (self.until is None or made <= self.until.astimezone())


EVERYTHING: Final = Selection()
