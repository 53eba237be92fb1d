"""Values to msgpack bytes and back: the fast path through ormsgpack, with a hook for other types."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, Literal

import ormsgpack
from ormsgpack import Ext, packb, unpackb

from perdure.checkpoint.serde import builtin
from perdure.checkpoint.serde.registry import TypeRegistry, type_name
from perdure.checkpoint.serde.stored import UnknownValue
from perdure.errors import CorruptCheckpointError, SerializationError, StorageError, UnknownTypeError

# Everything that msgpack can't tell apart from something else goes through the hook.
OPTIONS = (
    ormsgpack.OPT_PASSTHROUGH_BIG_INT
    | ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_SUBCLASS
    | ormsgpack.OPT_PASSTHROUGH_TUPLE
    | ormsgpack.OPT_PASSTHROUGH_UUID
)

PACK_ERRORS = (TypeError, SerializationError, RecursionError)
"""What the fast path of packing raises."""

Parts = tuple[int, Any]

# What decoding forged or damaged bytes can raise: from ormsgpack, and from building standard types.
_DECODE_ERRORS = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RecursionError,
    MemoryError,
    OSError,
    ImportError,
)


class _Failure(threading.local):
    """The error of a hook: ormsgpack raises its own instead, without a cause."""

    error: Exception | None = None

    def note(self, error: Exception) -> None:
        if self.error is None:
            self.error = error  # the innermost; those around it say "hook failed" only

    def take(self) -> Exception | None:
        error, self.error = self.error, None
        return error


class Codec:
    """Packs and unpacks values, with the types of a registry.

    Args:
        registry: The types that may be read.
        unknown: What reading a type that isn't registered does: raise `UnknownTypeError`, or return an
            `UnknownValue` with its data.
    """

    def __init__(self, registry: TypeRegistry, unknown: Literal["raise", "data"] = "raise") -> None:
        self.registry = registry
        self._unknown = unknown
        self._takers: dict[type, Callable[[Any], Parts]] = {}
        self._failure = _Failure()

    # -- packing

    def pack(self, value: Any) -> bytes:
        """Encode a value.

        Raises:
            SerializationError: It can't be stored; `path` says what in it.
        """
        try:
            return packb(value, self.hook, OPTIONS)
        except PACK_ERRORS:
            return self.pack_slowly(value)

    def pack_slowly(self, value: Any) -> bytes:
        """Encode a value that the fast path can't: it is a rare one, or an error that deserves a path."""
        from perdure.checkpoint.serde.walk import pack_slowly

        return pack_slowly(value, self.take_apart)

    def hook(self, value: Any) -> Ext:
        """Make what ormsgpack doesn't know, or mustn't take for something else, an extension."""
        code, parts = (self._takers.get(type(value)) or self._taker(value))(value)
        if type(parts) is not bytes:
            parts = packb(parts, self.hook, OPTIONS)
        return Ext(code, parts)

    def take_apart(self, value: Any) -> Parts:
        """Return the extension code of a value and its parts.

        Raises:
            SerializationError: Values of its type can't be stored.
        """
        return (self._takers.get(type(value)) or self._taker(value))(value)

    def _taker(self, value: Any) -> Callable[[Any], Parts]:
        cls = type(value)
        taker = self._standard_taker(cls) or self._registered_taker(cls)
        if taker is None and isinstance(value, BaseException):
            taker = self._take_exception_apart
        if taker is None:
            raise _unstorable(cls)
        self._takers[cls] = taker
        return taker

    def _standard_taker(self, cls: type) -> Callable[[Any], Parts] | None:
        key = builtin.type_key(cls)
        if key in builtin.TAKE_APART and builtin.is_really(cls, key):
            return builtin.TAKE_APART[key]
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            if cls is numpy.ndarray:
                return builtin.take_array_apart
            if issubclass(cls, numpy.generic):
                return builtin.take_scalar_apart
        return None

    def _registered_taker(self, cls: type) -> Callable[[Any], Parts] | None:
        if issubclass(cls, BaseException) and not self.registry.has(cls):
            return None
        if (entry := self.registry.for_value(cls)) is None:
            return None
        name, take_apart = entry.name, entry.take_apart
        return lambda value: (builtin.OBJECT, [name, take_apart(value)])

    def _take_exception_apart(self, error: BaseException) -> Parts:
        args = [self._storable(arg) for arg in error.args]
        return builtin.EXCEPTION, [type_name(type(error)), _text(str, error), args]

    def _storable(self, arg: Any) -> Any:
        # An error must be storable whatever it carries: it is what says that a task failed.
        try:
            self.pack(arg)
        except SerializationError:
            return _text(repr, arg)
        return arg

    # -- unpacking

    def unpack(self, data: bytes) -> Any:
        """Decode what `pack` made.

        Raises:
            CorruptCheckpointError: The bytes are not such.
            SerializationError: A value can't be rebuilt, e.g. by a class that has changed.
            UnknownTypeError: They hold a type that isn't registered.
        """
        try:
            return unpackb(data, ext_hook=self._revive)
        except _DECODE_ERRORS as e:
            cause = self._failure.take() or e
            if isinstance(cause, (SerializationError, StorageError)):
                raise cause from None
            msg = f"stored bytes are not a value: {_text(str, cause)}"
            raise CorruptCheckpointError(msg) from cause

    def _unpack(self, data: bytes) -> Any:
        return unpackb(data, ext_hook=self._revive)

    def _revive(self, code: int, data: bytes) -> Any:
        try:
            if code == builtin.OBJECT:
                return self._rebuild_object(*unpackb(data, ext_hook=self._revive))
            return builtin.REBUILD[code](data, self._unpack)
        except Exception as e:
            self._failure.note(e)
            raise

    def _rebuild_object(self, name: str, parts: Any) -> Any:
        entry = self.registry.for_name(name)
        if entry is not None:
            return entry.rebuild(parts)
        if self._unknown == "data":
            return UnknownValue(name, parts)
        raise UnknownTypeError(
            f"the stored value is a {name}, which is not registered in this program",
            hint=f"import its module and call `perdure.checkpoint.serde.register({_short(name)})`, or name "
            "it in the graph's state schema; types are never imported from stored names",
            type_name=name,
        )


def _short(name: str) -> str:
    return name.rpartition(":")[2].rpartition(".")[2]


def _text(make: Callable[[Any], str], value: Any) -> str:
    try:
        return make(value)
    except Exception as e:  # noqa: BLE001 - foreign code that only describes an error
        return f"<{type(value).__qualname__}, whose text can't be made: {type(e).__qualname__}>"


def _unstorable(cls: type) -> SerializationError:
    return SerializationError(
        f"a value of type {type_name(cls)} can't be stored",
        hint="keep it out of the state (make it in the node, or pass it by the runtime's context), or register "
        "how: `perdure.checkpoint.serde.register(cls, encode=..., decode=...)`",
        type_name=type_name(cls),
    )
