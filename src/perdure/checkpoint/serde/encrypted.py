"""A serializer that encrypts what another one makes, and lets savers bind it to its place.

A saver on a database (SQLite, Postgres, Redis, object stores) takes the keys out of it, and encrypts whole rows with
them, each bound to where it lies: see `perdure.checkpoint.sealing`. All others (memory, stores, caches, other people's
savers) call it for each value: then what is encrypted are values, and nothing says where they belong.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Final, Self

from perdure.checkpoint.serde.base import CipherProtocol, SerializerProtocol
from perdure.checkpoint.serde.envelopes import EnvelopeCipher, Envelopes
from perdure.checkpoint.serde.jsonplus import JsonPlusSerializer
from perdure.checkpoint.serde.keys import VARIABLE, KeyService, LocalKeys, checked, missing, single_key
from perdure.errors import CorruptCheckpointError, InvalidConfigError, SerializationError

__all__ = ["EncryptedSerializer", "KeyService", "LocalKeys"]

_MARK: Final = "encrypted+"
"""What the type of encrypted bytes begins with; the cipher's name follows. The type within is encrypted too."""


class EncryptedSerializer(SerializerProtocol):
    """Encrypts what a serializer makes, and reads nothing that isn't encrypted.

    What was written without encryption is refused: whoever can write to a database can't put a plain value in the place
    of an encrypted one. Given to a saver on a database, and made with keys (`from_aes`, `from_keys`), it binds each row
    to tenant, thread, namespace, checkpoint, task or piece, so that none can take another's place either, and storage
    grows with what changed as it does without encryption.

    Args:
        cipher: Encrypts and decrypts values; one of your own knows no places, so it binds nothing.
        serde: Turns values into bytes; `JsonPlusSerializer()` by default.

    Attributes:
        keys: What wraps the data keys; None: the cipher is all there is.
        tenant: Whose rows they are.
        searchable: Fields of metadata that a database may be searched by, and has in the clear.
    """

    def __init__(self, cipher: CipherProtocol, serde: SerializerProtocol | None = None) -> None:
        self.cipher = cipher
        self.serde = serde or JsonPlusSerializer()
        self.keys: KeyService | None = None
        self.tenant = ""
        self.searchable: frozenset[str] = frozenset()

    @classmethod
    def from_aes(cls, key: bytes | None = None, serde: SerializerProtocol | None = None) -> Self:
        """Encrypt with one key of AES, by AES-GCM-SIV (RFC 8452), which notices any change.

        It needs `pip install 'perdure[encryption]'`. `from_keys` is the way to keys that can be replaced.

        Args:
            key: 16, 24 or 32 secret bytes; by default those of the environment's `PERDURE_AES_KEY`, or
                `LANGGRAPH_AES_KEY`, as UTF-8.
            serde: Turns values into bytes.

        Raises:
            InvalidConfigError: There is no key, or it has another length.
        """
        key = checked(single_key() if key is None else key)
        made = cls(_Aes(key), serde)
        made.keys = LocalKeys.of(key)
        return made

    @classmethod
    def from_keys(
        cls,
        keys: KeyService,
        serde: SerializerProtocol | None = None,
        *,
        tenant: str = "",
        searchable: Sequence[str] = (),
    ) -> Self:
        """Encrypt with data keys that a key service wraps; it needs `pip install 'perdure[encryption]'`.

        Args:
            keys: `LocalKeys`, or what asks a KMS.
            serde: Turns values into bytes.
            tenant: Whose rows they are: what one tenant's saver has written, another's doesn't open.
            searchable: Fields of metadata that Postgres has in the clear, so that `list(filter=...)` finds them by an
                index. Filters by others are right too, and read every checkpoint. Of a field that is named later,
                checkpoints are found that were made since, or that `rekey` has gone through since.
        """
        made = cls(EnvelopeCipher(Envelopes(keys)), serde)
        made.keys, made.tenant, made.searchable = keys, tenant, frozenset(searchable)
        return made

    @classmethod
    def from_environment(cls, serde: SerializerProtocol | None = None) -> Self:
        """Encrypt with the keys of `PERDURE_ENCRYPTION_KEYS`; or else with that of `from_aes`.

        Args:
            serde: Turns values into bytes.

        Raises:
            InvalidConfigError: There is none, or it isn't what it must be.
        """
        if os.environ.get(VARIABLE):
            return cls.from_keys(LocalKeys.from_environment(), serde)
        return cls.from_aes(serde=serde)

    @classmethod
    def from_pycryptodome_aes(cls, serde: SerializerProtocol | None = None, **kwargs: Any) -> Self:
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

    @cached_property
    def envelopes(self) -> Envelopes | None:
        """What a saver encrypts its rows with; None: it can only call this serializer for each value."""
        return None if self.keys is None else Envelopes(self.keys)

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
        within, _, plain = self._decrypted(data).partition(b"\0")
        return self.serde.loads_typed((within.decode(), plain))

    def renewed(self, data: tuple[str, bytes]) -> tuple[str, bytes] | None:
        """Encrypt with the current key what `dumps_typed` made; None: it is.

        Raises:
            SerializationError: The bytes aren't encrypted.
            CorruptCheckpointError: They were changed, or encrypted with a key that isn't there.
        """
        plain = self._decrypted(data)
        if not isinstance(self.cipher, EnvelopeCipher) or self.cipher.is_current(data[1]):
            return None
        name, encrypted = self.cipher.encrypt(plain)
        return _MARK + name, encrypted

    def _decrypted(self, data: tuple[str, bytes]) -> bytes:
        kind, encrypted = data
        if not kind.startswith(_MARK):
            raise SerializationError(
                f"the stored bytes are of type {kind!r}, and this serializer reads encrypted ones only",
                hint="what was written without encryption is read with the serializer that wrote it; copy it with "
                "a saver of each kind",
            )
        return self.cipher.decrypt(kind.removeprefix(_MARK), bytes(encrypted))


class _Aes(CipherProtocol):
    """AES-GCM-SIV with a random nonce a value: should two ever be the same, only equal values could be told as such."""

    name: Final = "aes-gcm-siv"
    nonce_size: Final = 12

    def __init__(self, key: bytes) -> None:
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
        except ImportError as error:
            raise missing(error) from error
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
