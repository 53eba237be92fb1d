"""The serializer protocols."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

__all__ = [
    "CipherProtocol",
    "SerializerCompat",
    "SerializerProtocol",
    "UntypedSerializerProtocol",
    "maybe_add_typed_methods",
]


@runtime_checkable
class UntypedSerializerProtocol(Protocol):
    """Turns values into bytes and back."""

    def dumps(self, obj: Any) -> bytes:
        """Encode a value."""
        ...

    def loads(self, data: bytes) -> Any:
        """Decode what `dumps` made."""
        ...


@runtime_checkable
class SerializerProtocol(Protocol):
    """Turns values into (type, bytes) and back; thread-safe.

    The type names the encoding, so that a store can hold several: a short ASCII text. Equal values should give
    equal bytes. `dumps_typed` must not keep a reference to the value.
    """

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Encode a value.

        Raises:
            SerializationError: It can't be stored; `path` says what in it.
        """
        ...

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Decode what `dumps_typed` made.

        Raises:
            SerializationError: The bytes are not such.
            UnknownTypeError: They hold a type that isn't registered.
        """
        ...


class SerializerCompat(SerializerProtocol):
    """Gives an untyped serializer typed methods; the type is its class's name."""

    def __init__(self, serde: UntypedSerializerProtocol) -> None:
        self.serde = serde

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Encode with the wrapped serializer."""
        return type(obj).__name__, self.serde.dumps(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Decode with the wrapped serializer."""
        return self.serde.loads(data[1])


def maybe_add_typed_methods(
    serde: SerializerProtocol | UntypedSerializerProtocol,
) -> SerializerProtocol:
    """Return the serializer, wrapped if it has untyped methods only."""
    return serde if isinstance(serde, SerializerProtocol) else SerializerCompat(serde)


@runtime_checkable
class CipherProtocol(Protocol):
    """Encrypts bytes and decrypts them, naming the method used."""

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        """Return the name of the cipher and the encrypted bytes."""
        ...

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        """Return the plain bytes.

        Raises:
            CorruptCheckpointError: They were changed, or made with another key.
        """
        ...
