"""How values are bound and rows are read: in binary, each kind by one type, so that a statement is prepared once."""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

from psycopg.adapt import Dumper, Loader
from psycopg.pq import Format
from psycopg.types.numeric import Int8BinaryDumper

_TEXT: Final = 25
_TEXTS: Final = 1009
_BYTEA: Final = 17
_BYTEAS: Final = 1001
_BIGINT: Final = 20
_BIGINTS: Final = 1016

# Of an array of one dimension: dimensions, whether there are NULLs, the elements' type, their number, the first index.
_HEAD: Final = Struct("!iiiii")
_EMPTY: Final = Struct("!iii")
_LENGTH: Final = Struct("!i")
_NUMBER: Final = Struct("!iq")
_NULL: Final = _LENGTH.pack(-1)


class Texts(list[str | None]):
    """A column of texts."""


class Blobs(list[bytes]):
    """A column of bytes."""


class Numbers(list[int | None]):
    """A column of integers."""


def escaped(text: str) -> bytes:
    """Encode a text. Postgres' have no NUL: 0 becomes 1 1, and 1 becomes 1 2, which keeps the order of all texts."""
    if "\x00" in text or "\x01" in text:
        text = text.replace("\x01", "\x01\x02").replace("\x00", "\x01\x01")
    return text.encode()


def unescaped(data: Any) -> str:
    """Decode what `escaped` made."""
    text = str(data, "utf-8")
    return text.replace("\x01\x01", "\x00").replace("\x01\x02", "\x01") if "\x01" in text else text


def _array(kind: int, count: int, elements: list[bytes], *, has_nulls: bool) -> bytes:
    if not count:
        return _EMPTY.pack(0, 0, kind)
    return b"".join((_HEAD.pack(1, has_nulls, kind, count, 1), *elements))


class _TextDumper(Dumper):
    format = Format.BINARY
    oid = _TEXT

    def dump(self, obj: str) -> bytes:
        return escaped(obj)


class _TextsDumper(Dumper):
    format = Format.BINARY
    oid = _TEXTS

    def dump(self, obj: Texts) -> bytes:
        parts: list[bytes] = []
        for text in obj:
            if text is None:
                parts.append(_NULL)
            else:
                data = escaped(text)
                parts += (_LENGTH.pack(len(data)), data)
        return _array(_TEXT, len(obj), parts, has_nulls=None in obj)


class _BlobsDumper(Dumper):
    format = Format.BINARY
    oid = _BYTEAS

    def dump(self, obj: Blobs) -> bytes:
        parts: list[bytes] = []
        for data in obj:
            parts += (_LENGTH.pack(len(data)), data)
        return _array(_BYTEA, len(obj), parts, has_nulls=False)


class _NumbersDumper(Dumper):
    format = Format.BINARY
    oid = _BIGINTS

    def dump(self, obj: Numbers) -> bytes:
        parts = [_NULL if number is None else _NUMBER.pack(8, number) for number in obj]
        return _array(_BIGINT, len(obj), parts, has_nulls=None in obj)


class _TextLoader(Loader):
    format = Format.BINARY

    def load(self, data: Any) -> str:
        return unescaped(data)


def fitted(cursor: Any) -> Any:
    """Let a cursor bind and read values so."""
    adapters = cursor.adapters
    adapters.register_dumper(int, Int8BinaryDumper)
    adapters.register_dumper(str, _TextDumper)
    adapters.register_dumper(Texts, _TextsDumper)
    adapters.register_dumper(Blobs, _BlobsDumper)
    adapters.register_dumper(Numbers, _NumbersDumper)
    adapters.register_loader("text", _TextLoader)
    return cursor
