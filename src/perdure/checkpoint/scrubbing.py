"""What is left of deleted data in a storage's files, and what was done about it; see `BaseCheckpointSaver.scrub`."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Chunk", "Scrub"]


class Scrub(NamedTuple):
    """How a storage was made to forget what was deleted.

    Attributes:
        done: What was done.
        failed: What had to be done and couldn't be: so traces may be left in the storage itself.
        beyond: What may hold copies that a storage can't reach: archives, replicas, backups.
    """

    done: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()


class Chunk(NamedTuple):
    """A part of what a storage keeps, as it lies there.

    Attributes:
        name: The file, object or key.
        offset: Where in it this begins.
        data: The bytes; none and a `reason`: it can't be read.
        reason: Why it can't be read.
    """

    name: str
    offset: int
    data: bytes
    reason: str = ""
