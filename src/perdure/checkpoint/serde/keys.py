"""Keys that wrap other keys: where the secrets of encryption come from.

What is stored is encrypted with *data keys*, which are random and lie, wrapped, beside what they encrypt. A *key
service* wraps and unwraps them with keys that never leave it: a KMS, a vault, or the program itself (`LocalKeys`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Mapping
from typing import Any, Final, Protocol, Self

from perdure.errors import InvalidConfigError

__all__ = ["KeyService", "LocalKeys"]

VARIABLE: Final = "PERDURE_ENCRYPTION_KEYS"
"""Keys by name, the current one first: `2026-02:BASE64,2026-01:BASE64`."""

SINGLE: Final = ("PERDURE_AES_KEY", "LANGGRAPH_AES_KEY")
"""One key: 16, 24 or 32 bytes, as UTF-8."""

_SIZES: Final = (16, 24, 32)
_LONGEST_NAME: Final = 255


def encrypted_if_keys_are_set(serde: Any = None) -> Any:
    """Return an `EncryptedSerializer` around a serializer, if the environment has keys; else the serializer.

    They are those that `EncryptedSerializer.from_environment` finds.

    Args:
        serde: The serializer; None: the standard one.

    Raises:
        InvalidConfigError: They aren't what they must be.
    """
    if not any(map(os.environ.get, (VARIABLE, *SINGLE))):
        return serde
    from perdure.checkpoint.serde.encrypted import EncryptedSerializer

    return EncryptedSerializer.from_environment(serde)


class KeyService(Protocol):
    """Wraps data keys, and unwraps them; thread-safe. Each method may ask a server: it is called once a data key.

    What an implementation raises passes through: `TransientStorageError` if trying again may help.
    """

    @property
    def current(self) -> str:
        """The id of the key that new data keys are wrapped with, of up to 255 bytes; it may change at any time."""
        ...

    def wrap(self, data_key: bytes) -> tuple[str, bytes]:
        """Wrap a data key with the current key.

        Args:
            data_key: 32 random bytes.

        Returns:
            The id of the key that was used, and the wrapped data key, of up to 64 KB.
        """
        ...

    def unwrap(self, key_id: str, wrapped: bytes) -> bytes:
        """Return the data key that `wrap` was given.

        Raises:
            LookupError: There is no such key, or it is another.
        """
        ...


class LocalKeys:
    """Keys that the program itself has; data keys are wrapped as RFC 3394 says.

    Args:
        keys: Keys of 16, 24 or 32 secret bytes by their names. A name is stored with what its key has encrypted.
        current: The name of the key for what is written from now on; the first by default. The others are for reading.

    Raises:
        InvalidConfigError: There is no key, one has another length, or `current` names none.
    """

    def __init__(self, keys: Mapping[str, bytes], current: str | None = None) -> None:
        if not keys:
            raise InvalidConfigError("there is no key to encrypt with", hint='LocalKeys({"2026-01": key})')
        self._keys = {name: checked(key) for name, key in keys.items()}
        self._current = next(iter(keys)) if current is None else current
        if self._current not in self._keys:
            raise InvalidConfigError(f"the current key is {current!r}, and there are {', '.join(map(repr, keys))}")
        for name in self._keys:
            if len(name.encode()) > _LONGEST_NAME:
                raise InvalidConfigError(
                    f"the name of a key has up to {_LONGEST_NAME} bytes, and {name[:20]!r}... more"
                )

    @property
    def current(self) -> str:
        """The name of the key that new data keys are wrapped with."""
        return self._current

    @classmethod
    def of(cls, key: bytes) -> Self:
        """Make keys of a single one, named by a hash of it.

        Raises:
            InvalidConfigError: It has another length than 16, 24 or 32 bytes.
        """
        return cls({f"aes-{hashlib.sha256(b'perdure key' + checked(key)).hexdigest()[:8]}": key})

    @classmethod
    def from_environment(cls) -> Self:
        """Read keys from `PERDURE_ENCRYPTION_KEYS`; or else one from `PERDURE_AES_KEY` or `LANGGRAPH_AES_KEY`.

        Raises:
            InvalidConfigError: None is set, or one isn't what it must be.
        """
        if text := os.environ.get(VARIABLE):
            return cls(_listed(text))
        return cls.of(single_key())

    def wrap(self, data_key: bytes) -> tuple[str, bytes]:
        """Wrap a data key with the current key."""
        return self._current, _keywrap().aes_key_wrap(self._keys[self._current], data_key)

    def unwrap(self, key_id: str, wrapped: bytes) -> bytes:
        """Return a data key: with the key of that name; if there is none, with whichever fits, for keys may be renamed.

        Raises:
            LookupError: None fits. A key whose name another has got is not looked for: `rekey` tells keys by names.
        """
        keywrap = _keywrap()
        for key in [self._keys[key_id]] if key_id in self._keys else self._keys.values():
            try:
                return bytes(keywrap.aes_key_unwrap(key, wrapped))
            except (keywrap.InvalidUnwrap, ValueError):
                continue
        raise LookupError(key_id)


def _keywrap() -> Any:
    try:
        from cryptography.hazmat.primitives import keywrap
    except ImportError as error:
        raise missing(error) from error
    return keywrap


def missing(error: ImportError) -> ImportError:
    """Return what to say when the package that encrypts isn't there."""
    return ImportError("encryption needs cryptography: pip install 'perdure[encryption]'", name=error.name)


def checked(key: bytes) -> bytes:
    """Return a key that has the length of one.

    Raises:
        InvalidConfigError: It hasn't.
    """
    if not isinstance(key, bytes) or len(key) not in _SIZES:
        size = f"{len(key)} bytes" if isinstance(key, bytes) else type(key).__name__
        raise InvalidConfigError(f"an AES key has 16, 24 or 32 bytes, and this is {size}")
    return key


def single_key() -> bytes:
    """Return the environment's single key.

    Raises:
        InvalidConfigError: There is none.
    """
    for name in SINGLE:
        if key := os.environ.get(name):
            return key.encode()
    raise InvalidConfigError(
        "there is no key to encrypt with",
        hint=f"pass key=..., or set {SINGLE[0]} to 16, 24 or 32 bytes, or {VARIABLE} to keys with names",
    )


def _listed(text: str) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        name, colon, encoded = entry.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not colon or len(key) != 32 or name in keys:  # the entry isn't told: it may be a key
            raise InvalidConfigError(
                f"{VARIABLE}: entry {len(keys) + 1} is not a new name, a colon, and 32 bytes as base64",
                hint=f'{VARIABLE}="2026-02:$(openssl rand -base64 32),2026-01:..."; the current key comes first',
            )
        keys[name] = key
    return keys
