"""How a thread lies in rows: their keys, and what their bytes are.

Keys begin with what kind of row it is:

- `n` and a namespace's name: its state.
- `c`, the namespace's mark, and an id: a checkpoint.
- `p`, the mark, and a number: a piece.
- `w`, the mark, the checkpoint's id, a zero byte, and a task's id: writes.
- `u` and the mark: what changes whenever writes are added.
- `k`: how long the thread is kept.

Three directories are hints of where to look: of threads, of runs with their threads, and of threads of which something
says how long they are kept.
"""

from __future__ import annotations

import secrets
from typing import Any, Final, NamedTuple

import ormsgpack

from perdure.checkpoint.records import located
from perdure.errors import CorruptCheckpointError, UsageError

END: Final = b"\xff"
"""Greater than any byte of a text."""

RULES: Final = b"k"
"""The key of how long a thread is kept: msgpack of time to live and hold."""


class Space(NamedTuple):
    """A namespace of a thread: what the operations know as its number.

    One that was deleted and made again is another.
    """

    thread_id: str
    checkpoint_ns: str
    mark: bytes

    def key(self, kind: bytes, name: str = "") -> bytes:
        """Return a key, or the start of several."""
        return kind + self.mark + encoded(name)

    def of_writes(self, checkpoint_id: str | None, task_id: str = "") -> bytes:
        """Return the key of a task's writes, or the start of those of a checkpoint."""
        return self.key(b"w", escaped(checkpoint_id or "")) + b"\x00" + encoded(task_id)


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
    return State(data[:8], decoded(head) if space else None, number_of(number))


def packed_row(*parts: object) -> bytes:
    """Make the bytes of a checkpoint's or a task's row."""
    return ormsgpack.packb(parts)


def opened_row(data: bytes | None, count: int, space: Space, checkpoint_id: str) -> list[Any]:
    """Read a row of so many parts.

    Raises:
        CorruptCheckpointError: It isn't one.
    """
    try:
        parts: Any = None if data is None else ormsgpack.unpackb(data)
        if isinstance(parts, list) and len(parts) == count and isinstance(parts[-1], bytes):
            return parts
    except ValueError:
        pass
    place = (space.thread_id, space.checkpoint_ns, checkpoint_id)
    raise located(CorruptCheckpointError("a row is damaged"), place, "(its record or writes)")


def encoded(text: str) -> bytes:
    """Return a text's bytes; their order is that of the texts.

    Raises:
        UsageError: It has lone surrogates.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as e:
        raise UsageError(f"a text is not valid Unicode: {e}", hint="lone surrogates can't be ids") from e


def decoded(data: bytes) -> str:
    """Return the text of bytes.

    Raises:
        CorruptCheckpointError: They aren't one.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as e:
        raise CorruptCheckpointError(
            f"a stored name is no text: {data[:60]!r}", hint="was it damaged, or does another program write here?"
        ) from e


def number_of(data: bytes) -> int:
    """Return the number of bytes that say it in decimal.

    Raises:
        CorruptCheckpointError: They don't.
    """
    try:
        return int(data)
    except ValueError as e:
        raise CorruptCheckpointError(f"a stored number is damaged: {data[:60]!r}") from e


def escaped(text: str) -> str:
    """Write a text without zero bytes; the order stays."""
    return text.replace("\x01", "\x01\x02").replace("\x00", "\x01\x01") if "\x00" in text or "\x01" in text else text


def unescaped(text: str) -> str:
    """Undo `escaped`."""
    return text.replace("\x01\x01", "\x00").replace("\x01\x02", "\x01") if "\x01" in text else text


def run_member(run_id: str, thread_id: str = "") -> bytes:
    """Return what the directory of runs has for a run in a thread, or the start of what it has for the run."""
    return encoded(escaped(run_id)) + b"\x00" + encoded(thread_id)
