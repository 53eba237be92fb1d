"""Envelopes: bytes encrypted by a data key, which lies beside them, wrapped by a key of a `KeyService`.

An envelope is: 1 byte length of the key's id; the id; 2 bytes length of the wrapped data key; the wrapped data key; a
nonce of 12 bytes; AES-256-GCM-SIV (RFC 8452) of the content. See docs/storage-format.md.

1. Each scope has a key of its own, derived from the data key: so a data key may serve for as long as its wrapping key.
2. Associated data are the scope, the place in it, and all of the envelope before the nonce: it opens nowhere else.
3. A process makes a data key when it first needs one, unless it has opened an envelope of the current key before: then
   it goes on with that one's. So a thread that many short processes go on with has few of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from perdure.checkpoint.serde.base import CipherProtocol
from perdure.checkpoint.serde.keys import KeyService, missing
from perdure.errors import CorruptCheckpointError, EncryptionError, SerializationError

_NONCE: Final = 12
_TAG: Final = 16
_DATA_KEY: Final = 32
_MOST: Final = 4096
"""Keys that are remembered; then half of them are forgotten."""


class _Head(NamedTuple):
    """What lies before the nonce: whose data key it is.

    Attributes:
        data: As it is stored.
        key_id: Which key has wrapped it.
        data_key: The data key itself.
    """

    data: bytes
    key_id: str
    data_key: bytes


class Envelopes:
    """Makes envelopes and opens them; thread-safe.

    Args:
        keys: Wraps data keys.

    Raises:
        ImportError: The package `cryptography` isn't installed.
    """

    def __init__(self, keys: KeyService) -> None:
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives import hashes
            from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
            from cryptography.hazmat.primitives.kdf.hkdf import HKDF
        except ImportError as error:
            raise missing(error) from error
        self.keys = keys
        self._invalid = InvalidTag
        self._make = AESGCMSIV
        self._derive: Callable[[bytes, bytes], bytes] = lambda data_key, scope: HKDF(
            hashes.SHA256(), _DATA_KEY, None, scope
        ).derive(data_key)
        self._used: _Head | None = None
        self._heads: dict[bytes, _Head] = {}
        self._ciphers: dict[tuple[bytes, bytes], Any] = {}

    def close(self, content: bytes, scope: bytes, place: bytes = b"") -> bytes:
        """Encrypt a content with the current key, for one place only."""
        head = self._used
        if head is None or head.key_id != self.keys.current:
            head = self._used = self._new()
        nonce = os.urandom(_NONCE)
        encrypted = self._cipher(head, scope).encrypt(nonce, content, scope + place + head.data)
        return b"".join((head.data, nonce, encrypted))

    def open(self, data: bytes, scope: bytes, place: bytes = b"") -> bytes:
        """Decrypt what is in an envelope.

        Raises:
            EncryptionError: Its key isn't there.
            CorruptCheckpointError: It was changed, or belongs elsewhere.
        """
        end = _end_of_head(data)
        head = self._heads.get(data[:end]) or self._known(data[:end])
        nonce, encrypted = data[end : end + _NONCE], data[end + _NONCE :]
        try:
            content: bytes = self._cipher(head, scope).decrypt(nonce, encrypted, scope + place + head.data)
        except (self._invalid, ValueError) as error:
            raise CorruptCheckpointError(
                "encrypted bytes aren't what was stored in this place: they were changed, or lay in another",
                hint="a person or a program has written to the database; restore it from a backup, or go on from an "
                "earlier checkpoint",
            ) from error
        if self._used is None and head.key_id == self.keys.current:
            self._used = head
        return content

    def is_current(self, data: bytes) -> bool:
        """Tell whether an envelope is of the current key."""
        return key_id_of(data) == self.keys.current

    def _new(self) -> _Head:
        data_key = os.urandom(_DATA_KEY)
        key_id, wrapped = self.keys.wrap(data_key)
        name = key_id.encode()
        data = bytes((len(name),)) + name + len(wrapped).to_bytes(2, "big") + wrapped
        return self._remember(_Head(data, key_id, data_key))

    def _known(self, data: bytes) -> _Head:
        key_id = key_id_of(data)
        wrapped = data[3 + data[0] :]
        try:
            data_key = self.keys.unwrap(key_id, wrapped)
        except LookupError as error:
            raise EncryptionError(
                f"stored bytes are encrypted with the key {key_id!r}, and none of the keys at hand is that",
                hint="name it too, after the current one; `perdure rekey` makes it superfluous",
            ) from error
        return self._remember(_Head(data, key_id, data_key))

    def _remember(self, head: _Head) -> _Head:
        _bound(self._heads)
        self._heads[head.data] = head
        return head

    def _cipher(self, head: _Head, scope: bytes) -> Any:
        key = (head.data, scope)
        found = self._ciphers.get(key)
        if found is None:
            _bound(self._ciphers)
            found = self._ciphers[key] = self._make(self._derive(head.data_key, scope))
        return found


def _bound(known: dict[Any, Any]) -> None:
    if len(known) >= _MOST:
        for old in list(known)[: _MOST // 2]:
            known.pop(old, None)


def key_id_of(data: bytes) -> str:
    """Return the id of the key that an envelope's data key is wrapped with."""
    return data[1 : 1 + data[0]].decode(errors="replace") if data else ""


def _end_of_head(data: bytes) -> int:
    at = 1 + data[0] if data else 0
    end = at + 2 + int.from_bytes(data[at : at + 2], "big")
    if len(data) < end + _NONCE + _TAG:
        raise CorruptCheckpointError("encrypted bytes are cut off", hint="restore them from a backup")
    return end


class EnvelopeCipher(CipherProtocol):
    """Encrypts values that no place is known of: those of stores, caches and memory."""

    name: Final = "envelope"
    _SCOPE: Final = b"value"

    def __init__(self, envelopes: Envelopes) -> None:
        self._envelopes = envelopes

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        return self.name, self._envelopes.close(plaintext, self._SCOPE)

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        if ciphername != self.name:
            raise SerializationError(f"the stored bytes were encrypted by {ciphername!r}, not by {self.name!r}")
        return self._envelopes.open(ciphertext, self._SCOPE)

    def is_current(self, ciphertext: bytes) -> bool:
        """Tell whether something was encrypted with the current key."""
        return self._envelopes.is_current(ciphertext)
