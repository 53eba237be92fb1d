"""Reading what lies in a bucket, as it lies there and opened."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from perdure.checkpoint.frames import unseal
from perdure.checkpoint.objects.roots import thread_of
from perdure.database.objects.exchange import Exchange, Get, Missing, Patience, ask, list_all
from perdure.errors import CorruptCheckpointError

_AT_ONCE: Final = 16


class Found(NamedTuple):
    """An object: its bytes, and what they say."""

    key: str
    data: bytes
    opened: bytes


def keys(retry_for: float) -> Exchange[list[str]]:
    """List all objects."""
    found: list[str] = []
    for prefix in ("t/", "d/"):
        found += [one.key for one in (yield from list_all(prefix, Patience(retry_for)))]
    return found


def read(some: list[str], retry_for: float) -> Exchange[list[Found]]:
    """Read objects; those that are gone are left out."""
    answers = yield from ask([Get(key) for key in some], Patience(retry_for))
    return [_found(key, one.data) for key, one in zip(some, answers, strict=True) if one is not Missing]


def _found(key: str, data: bytes) -> Found:
    thread_id = thread_of(key) if key.startswith("t/") else None
    name = (thread_id or "").encode("utf-8", "surrogatepass")
    end: Any = 4 + int.from_bytes(data[:4], "big")
    try:  # roots and pages are frames, which may be compressed; packs aren't
        opened = unseal(data[4:end] if key.startswith("t/") else data).content
    except CorruptCheckpointError:
        opened = b""
    return Found(key, data, name + b"\n" + opened)


def parts(whole: list[str]) -> list[list[str]]:
    """Split what is read at once."""
    return [whole[at : at + _AT_ONCE] for at in range(0, len(whole), _AT_ONCE)]
