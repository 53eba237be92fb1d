"""The serializer that savers use unless they are given another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

from ormsgpack import packb

from perdure.checkpoint.serde import compression
from perdure.checkpoint.serde.codec import OPTIONS, PACK_ERRORS, Codec
from perdure.checkpoint.serde.registry import TypeRegistry, default_registry
from perdure.errors import SerializationError, UnknownTypeError

__all__ = ["InvalidModuleError", "JsonPlusSerializer"]

InvalidModuleError = UnknownTypeError
"""What reading a value of a type that isn't registered raises, under the name that programs know."""

_NULL: Final = ("null", b"")
_PLAINER: Final = frozenset({type(None), bytes, bytearray})  # than msgpack: their bytes are stored as they are


class JsonPlusSerializer:
    """Stores values as msgpack; every supported type comes back as itself.

    Decoding makes only data, standard types and registered types: it never imports by a stored name, never
    calls what isn't registered, and never falls back to another codec. Types register themselves when a graph with
    them in its schemas is compiled, when a value of theirs is written, or by `perdure.checkpoint.serde.register`.

    The types of bytes it makes: `null`, `bytes`, `bytearray`, `msgpack`, and `msgpack.zstd` where compression pays.

    Two things come back as something else: a bytearray or memoryview *inside* another value as
    bytes, and an exception as a `StoredError`, unless its type is registered. A datetime in a zone that is neither a
    `ZoneInfo` nor a `timezone` keeps its offset only.

    Args:
        unknown: What reading a value whose type isn't registered does: raise `UnknownTypeError`, or
            give an `UnknownValue` with its data.
        registry: The types; those of the process by default.
    """

    packs_lists = True
    """Whether `dumps_plain` makes msgpack of lists, in which an item's bytes don't depend on the others."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let a class that encodes in its own way by `dumps_typed` do so for every value."""
        super().__init_subclass__(**kwargs)
        own = cls.__dict__
        if "dumps_typed" in own and "dumps_plain" not in own:
            cls.dumps_plain = cls.dumps_typed  # type: ignore[method-assign]
        if ("dumps_typed" in own or "dumps_plain" in own) and "packs_lists" not in own:
            cls.packs_lists = False

    def __init__(
        self,
        *,
        unknown: Literal["raise", "data"] = "raise",
        registry: TypeRegistry = default_registry,
    ) -> None:
        self._codec = Codec(registry, unknown)
        self._hook = self._codec.hook

    def register_types(self, types: Iterable[type]) -> None:
        """Let values of these types be read, see `TypeRegistry.register_types`."""
        self._codec.registry.register_types(types)

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Encode a value.

        Raises:
            SerializationError: It can't be stored; `path` says what in it, such as `$.messages[3].when`.
        """
        kind, data = encoded = JsonPlusSerializer.dumps_plain(self, obj)  # a subclass's calls this
        if len(data) >= compression.SMALLEST and kind == "msgpack":
            packed = compression.compress(data)
            if packed is not None:
                return "msgpack.zstd", packed
        return encoded

    def dumps_plain(self, obj: Any) -> tuple[str, bytes]:
        """Encode a value without compression, for a store that compares values with the ones before them.

        Raises:
            SerializationError: It can't be stored; `path` says what in it.
        """
        if type(obj) in _PLAINER:
            return _NULL if obj is None else (type(obj).__name__, bytes(obj))
        try:
            return "msgpack", packb(obj, self._hook, OPTIONS)
        except PACK_ERRORS:
            return "msgpack", self._codec.pack_slowly(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Decode what `dumps_typed` made.

        Raises:
            CorruptCheckpointError: The bytes are not such.
            UnknownTypeError: They hold a type that isn't registered.
            SerializationError: A value can't be rebuilt, e.g. because its class has changed.
        """
        kind, content = data
        if kind == "msgpack":
            return self._codec.unpack(content)
        if kind == "null":
            return None
        if kind == "msgpack.zstd":
            return self._codec.unpack(compression.decompress(content))
        if kind == "bytes":
            return content
        if kind == "bytearray":
            return bytearray(content)
        raise SerializationError(
            f"stored bytes are of type {kind!r}, which this serializer doesn't read",
            hint="was the checkpoint written with another serializer (encrypted, for example)?",
        )
