"""A serializer that encrypts what another one makes.

What is encrypted is what the serializer is given: values of channels, writes, items of stores. Names of threads,
channels and nodes, times, metadata that a database is searched by, and vectors are not: a store finds things by them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Final

from perdure.checkpoint.serde.base import CipherProtocol, SerializerProtocol
from perdure.checkpoint.serde.jsonplus import JsonPlusSerializer
from perdure.errors import CorruptCheckpointError, InvalidConfigError, SerializationError

__all__ = ["EncryptedSerializer"]

_MARK: Final = "encrypted+"
"""What the type of encrypted bytes begins with; the cipher's name follows. The type within is encrypted too."""

_VARIABLES: Final = ("PERDURE_AES_KEY", "LANGGRAPH_AES_KEY")
_SIZES: Final = (16, 24, 32)


class EncryptedSerializer(SerializerProtocol):
    """Encrypts what a serializer makes, and reads nothing that isn't encrypted.

    A store that was written without encryption is refused value by value: whoever can write to a database can't put a
    plain value in the place of an encrypted one. Equal values give different bytes, so a saver stores a value that has
    changed as a whole.

    Args:
        cipher: Encrypts and decrypts; `from_aes` makes one.
        serde: Turns values into bytes; `JsonPlusSerializer()` by default.
    """

    def __init__(self, cipher: CipherProtocol, serde: SerializerProtocol | None = None) -> None:
        self.cipher = cipher
        self.serde = serde or JsonPlusSerializer()

    @classmethod
    def from_aes(cls, key: bytes | None = None, serde: SerializerProtocol | None = None) -> EncryptedSerializer:
        """Encrypt with AES-GCM-SIV (RFC 8452), which notices any change; needs `pip install 'perdure[encryption]'`.

        Args:
            key: 16, 24 or 32 secret bytes; by default those of the environment's `PERDURE_AES_KEY`, or
                `LANGGRAPH_AES_KEY`, as UTF-8.
            serde: Turns values into bytes.

        Raises:
            InvalidConfigError: There is no key, or it has another length.
        """
        return cls(_Aes(_checked(_from_environment() if key is None else key)), serde)

    @classmethod
    def from_pycryptodome_aes(cls, serde: SerializerProtocol | None = None, **kwargs: Any) -> EncryptedSerializer:
        """Do what `from_aes` does, under the name that programs know; the package `cryptography` encrypts.

        Args:
            serde: Turns values into bytes.
            kwargs: `key`; nothing else can be chosen.
        """
        others = sorted(kwargs.keys() - {"key"})
        if others:
            raise InvalidConfigError(
                f"from_pycryptodome_aes takes `serde` and `key` here, not {', '.join(others)}",
                hint="the mode is AES-GCM-SIV; for another, pass a cipher of your own: EncryptedSerializer(cipher)",
            )
        return cls.from_aes(kwargs.get("key"), serde)

    def register_types(self, types: Iterable[type]) -> None:
        """Let values of these types be read, if the serializer within keeps a registry."""
        register = getattr(self.serde, "register_types", None)
        if register is not None:
            register(types)

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Encode and encrypt a value.

        Raises:
            SerializationError: It can't be stored; `path` says what in it.
        """
        kind, data = self.serde.dumps_typed(obj)
        name, encrypted = self.cipher.encrypt(kind.encode() + b"\0" + data)
        return _MARK + name, encrypted

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Decrypt and decode what `dumps_typed` made.

        Raises:
            SerializationError: The bytes aren't encrypted.
            CorruptCheckpointError: They were changed, or encrypted with another key.
            UnknownTypeError: They hold a type that isn't registered.
        """
        kind, encrypted = data
        if not kind.startswith(_MARK):
            raise SerializationError(
                f"the stored bytes are of type {kind!r}, and this serializer reads encrypted ones only",
                hint="what was written without encryption is read with the serializer that wrote it; copy it with "
                "a saver of each kind",
            )
        within, _, plain = self.cipher.decrypt(kind.removeprefix(_MARK), bytes(encrypted)).partition(b"\0")
        return self.serde.loads_typed((within.decode(), plain))


class _Aes(CipherProtocol):
    """AES-GCM-SIV with a random nonce a value: should two ever be the same, only equal values could be told as such."""

    name: Final = "aes-gcm-siv"
    nonce_size: Final = 12

    def __init__(self, key: bytes) -> None:
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
        except ImportError as missing:
            raise ImportError(
                "EncryptedSerializer.from_aes needs cryptography: pip install 'perdure[encryption]'", name=missing.name
            ) from missing
        self._aead = AESGCMSIV(key)
        self._invalid = InvalidTag

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        nonce = os.urandom(self.nonce_size)
        return self.name, nonce + self._aead.encrypt(nonce, plaintext, None)

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        if ciphername != self.name:
            raise SerializationError(f"the stored bytes were encrypted by {ciphername!r}, not by {self.name!r}")
        nonce, encrypted = ciphertext[: self.nonce_size], ciphertext[self.nonce_size :]
        try:
            return self._aead.decrypt(nonce, encrypted, None)
        except (self._invalid, ValueError) as error:
            raise CorruptCheckpointError(
                "encrypted bytes can't be decrypted",
                hint="they were encrypted with another key, or something has changed them",
            ) from error


def _from_environment() -> bytes:
    for name in _VARIABLES:
        if key := os.environ.get(name):
            return key.encode()
    raise InvalidConfigError(
        "there is no key to encrypt with", hint=f"pass key=..., or set {_VARIABLES[0]} to 16, 24 or 32 bytes"
    )


def _checked(key: bytes) -> bytes:
    if not isinstance(key, bytes) or len(key) not in _SIZES:
        size = f"{len(key)} bytes" if isinstance(key, bytes) else type(key).__name__
        raise InvalidConfigError(f"an AES key has 16, 24 or 32 bytes, and this is {size}")
    return key
