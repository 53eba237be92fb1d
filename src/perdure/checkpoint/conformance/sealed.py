"""Whether what a saver keeps is encrypted when it is given a serializer that encrypts, and refused when it isn't."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from perdure.checkpoint.conformance.case import Failure, expect, place
from perdure.checkpoint.conformance.case import checkpoint as made
from perdure.checkpoint.conformance.opening import Make, opened
from perdure.checkpoint.serde.encrypted import EncryptedSerializer
from perdure.errors import PerdureError

_SECRET = "a value that nobody else may read"  # noqa: S105 - it is none
_KEYS = (b"k" * 32, b"another key than it was encrypted")


def _put(saver: Any, thread_id: str) -> None:
    about: Any = {"source": "input", "step": -1, "parents": {}}
    config = saver.put(place(thread_id), made({"x": _SECRET, "y": [_SECRET] * 40}), about, {"x": 1, "y": 1})
    saver.put_writes(config, [("x", _SECRET)], "task")


def check(make: Make, where: str) -> None:
    """Write with a key; read with it, with another one, and without any.

    Raises:
        Failure: A value can be read without the key, or can't be read with it, or one that isn't encrypted is accepted.
    """
    key, other = (EncryptedSerializer.from_aes(one[:32]) for one in _KEYS)
    with opened(make, where, serde=key) as saver:
        _put(saver, "t")
        found = saver.get_tuple(place("t"))
        expect(found and found.checkpoint["channel_values"]["x"], _SECRET, "the value, read with its key")
        expect(found and found.pending_writes, [("task", "x", _SECRET)], "the write, read with its key")
    for what, options in (("another key", {"serde": other}), ("no key", {})):
        with opened(make, where, **options) as saver:
            _refused(saver, "t", f"a value that is read with {what}")
    for path in Path(where).rglob("*"):
        if path.is_file() and _SECRET.encode() in path.read_bytes():
            raise Failure(f"a value lies in {path.name} as it is, though the saver was given a key")
    with opened(make, where) as saver:
        _put(saver, "plain")
    with opened(make, where, serde=key) as saver:
        _refused(saver, "plain", "a value that isn't encrypted")


def _refused(saver: Any, thread_id: str, what: str) -> None:
    try:
        found = saver.get_tuple(place(thread_id))
    except PerdureError:
        return
    raise Failure(f"{what}: expected an error, got {found!r}")
