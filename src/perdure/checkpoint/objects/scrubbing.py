"""What lies in a store of objects, opened."""

from __future__ import annotations

from perdure.checkpoint.frames import unseal
from perdure.checkpoint.objects.roots import frame_of, thread_of
from perdure.errors import CorruptCheckpointError

ROOMS = ("t/", "d/")
"""The prefixes of roots and of immutable objects."""


def opened(key: str, data: bytes) -> bytes:
    """Return what an object says: roots and pages are frames, which may be compressed, and a root's key says an id."""
    is_root = key.startswith("t/")
    name = ((thread_of(key) or "") if is_root else "").encode("utf-8", "surrogatepass")
    try:
        return name + b"\n" + unseal(frame_of(data) if is_root else data).content
    except CorruptCheckpointError:  # a pack isn't one
        return name + b"\n"
