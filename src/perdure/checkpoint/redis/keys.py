"""Where things lie in Redis: the names of keys and fields, and what a row's bytes are; see docs/redis.md.

A thread is three keys that share a hash tag, so that a cluster keeps them together and a script may use them:

- its rows, a hash: `n` and a namespace's name: its state. `c`, the namespace's mark, and an id: a checkpoint. `p`, the
  mark, a number: a piece. `w`, the mark, the checkpoint's id, a zero byte, and a task's id: writes. `u` and the mark:
  what changes whenever writes are added. `r` and a run's id: nothing. `k`: how long the thread is kept.
- its order, a sorted set of the fields that start with `n`, `c`, `w` and `r`.
- its lease, a hash.

Three sorted sets are everybody's, hints of where to look: of threads, of runs with their threads, and of threads of
which something says how long they are kept.
"""

from __future__ import annotations

import re
import secrets
from typing import Any, Final, NamedTuple

import ormsgpack

from perdure.checkpoint.records import located
from perdure.errors import CorruptCheckpointError

END: Final = b"\xff"
"""Greater than any byte of a text."""

RULES: Final = b"k"
"""The field of how long a thread is kept: msgpack of time to live and hold."""

_TAGS = re.compile(r"[{}%]")


class Space(NamedTuple):
    """A namespace of a thread: what the operations know as its number.

    One that was deleted and made again is another.
    """

    thread_id: str
    checkpoint_ns: str
    mark: bytes

    def field(self, kind: bytes, *names: str) -> bytes:
        """Return the name of a field, or the start of several."""
        return b"".join((kind, self.mark, *[encoded(name) for name in names]))

    def of_writes(self, checkpoint_id: str | None, task_id: str = "") -> bytes:
        """Return the name of the field of a task's writes, or the start of those of a checkpoint."""
        return self.field(b"w", escaped(checkpoint_id or "")) + b"\x00" + encoded(task_id)


class State(NamedTuple):
    """What is stored of a namespace. It changes whenever anything of it does but writes that are added."""

    mark: bytes
    head: str | None
    number: int

    def pack(self) -> bytes:
        """Return its bytes."""
        counted = self.mark + b"%d" % self.number
        return counted if self.head is None else counted + b" " + encoded(self.head)


def new_mark() -> bytes:
    """Make the mark of a new namespace: eight bytes that no other one has."""
    return secrets.token_urlsafe(6).encode()


def opened_state(data: bytes) -> State:
    """Read a namespace's state.

    Raises:
        CorruptCheckpointError: It isn't one.
    """
    number, space, head = data[8:].partition(b" ")
    try:
        return State(data[:8], decoded(head) if space else None, int(number))
    except ValueError as e:
        raise CorruptCheckpointError("a namespace's state is damaged") from e


def packed_row(*parts: object) -> bytes:
    """Make the bytes of a checkpoint's or a task's row."""
    return ormsgpack.packb(parts)


def opened_row(data: bytes, count: int, space: Space, checkpoint_id: str) -> list[Any]:
    """Read a row of so many parts.

    Raises:
        CorruptCheckpointError: It isn't one.
    """
    try:
        parts: list[Any] = ormsgpack.unpackb(data)
        if isinstance(parts, list) and len(parts) == count and isinstance(parts[-1], bytes):
            return parts
    except ValueError:
        pass
    place = (space.thread_id, space.checkpoint_ns, checkpoint_id)
    raise located(CorruptCheckpointError("a row is damaged"), place, "(its record or writes)")


def encoded(text: str) -> bytes:
    """Return a text's bytes; their order is that of the texts."""
    return text.encode()


def decoded(data: bytes) -> str:
    """Return the text of bytes.

    Raises:
        CorruptCheckpointError: They aren't one.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as e:
        raise CorruptCheckpointError(
            f"a stored name is no text: {data[:60]!r}", hint="was it damaged, or does another program use these keys?"
        ) from e


def escaped(text: str) -> str:
    """Write a text without zero bytes; the order stays."""
    return text.replace("\x01", "\x01\x02").replace("\x00", "\x01\x01") if "\x00" in text or "\x01" in text else text


def unescaped(text: str) -> str:
    """Undo `escaped`."""
    return text.replace("\x01\x01", "\x00").replace("\x01\x02", "\x01") if "\x01" in text else text


class Keys:
    """The names of keys.

    Args:
        prefix: What they all begin with.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.prefix = encoded(prefix)
        self.threads = encoded(f"{prefix}threads")
        self.runs = encoded(f"{prefix}runs")
        self.ruled = encoded(f"{prefix}ruled")

    def of(self, thread_id: str) -> tuple[bytes, bytes, bytes]:
        """Return a thread's keys: rows, order, lease."""
        # A hash tag ends at the first brace, and an empty one counts as none.
        tag = _TAGS.sub(lambda found: f"%{ord(found[0]):02x}", thread_id) or "%"
        start = encoded(f"{self._prefix}{{{tag}}}")
        return start, start + b":o", start + b":l"


def run_member(run_id: str, thread_id: str = "") -> bytes:
    """Return what the set of runs has for a run in a thread, or the start of what it has for the run."""
    return encoded(escaped(run_id)) + b"\x00" + encoded(thread_id)
