"""Frames bound to their place by encryption; or left as they are, where a saver has no keys.

An encrypted frame is: 8 bytes XXH3-64 of the rest; 1 byte of flags; an envelope, whose content is the frame as it would
be without encryption. The envelope's scope is tenant, thread and namespace, its place the kind of row and the row's
key. So everything of a frame is encrypted but its length, and it opens in its own row only. To its channel a piece is
bound by the record, which is a frame itself: it says which pieces a channel's value has, and what comes of them.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from ormsgpack import packb
from xxhash import xxh3_64_digest

from perdure.checkpoint.frames import CHECKSUM, ENCRYPTED, damage, fits, is_encrypted
from perdure.checkpoint.serde.envelopes import Envelopes, key_id_of
from perdure.errors import EncryptionError

_START: Final = CHECKSUM + 1
_FLAGS: Final = bytes((ENCRYPTED,))
_MOST: Final = 4096


class Rekeyed(NamedTuple):
    """What was found when a thread was put under the current key.

    Attributes:
        rewritten: Rows that were under another key, and aren't any more.
        current: Rows that were under the current key already.
    """

    rewritten: int = 0
    current: int = 0

    def plus(self, other: Rekeyed) -> Rekeyed:
        """Return the sum of both."""
        return Rekeyed(self.rewritten + other.rewritten, self.current + other.current)


class Sealing:
    """How frames of one namespace are stored: this one leaves them as they are.

    A place is the kind of row, and what finds it in the namespace: `record` and a checkpoint's id; `writes`, a
    checkpoint's id, a task's id and path; `piece` and its number.
    """

    def close(self, frame: bytes, *place: str | int) -> bytes:
        """Make of a frame what is stored in a place."""
        return frame

    def open(self, data: bytes, *place: str | int) -> bytes:
        """Return the frame that is stored in a place.

        Raises:
            CorruptCheckpointError: It was changed, or belongs elsewhere.
            EncryptionError: It isn't encrypted, or its key isn't there.
        """
        return data

    def is_current(self, data: bytes) -> bool:
        """Tell whether something stored is under the current key."""
        return True


PLAIN: Final = Sealing()


class Encrypted(Sealing):
    """Encrypts frames of one namespace.

    Args:
        envelopes: Encrypts and decrypts.
        scope: The namespace.
    """

    def __init__(self, envelopes: Envelopes, scope: bytes) -> None:
        self._envelopes = envelopes
        self._scope = scope

    def close(self, frame: bytes, *place: str | int) -> bytes:
        rest = _FLAGS + self._envelopes.close(frame, self._scope, _packed(*place))
        return xxh3_64_digest(rest) + rest

    def open(self, data: bytes, *place: str | int) -> bytes:
        if not is_encrypted(data):
            raise _plain(data, *place)
        if not fits(data):
            raise damage()
        return self._envelopes.open(data[_START:], self._scope, _packed(*place))

    def is_current(self, data: bytes) -> bool:
        return is_encrypted(data) and self._envelopes.is_current(data[_START:])


class Vault:
    """What encrypts a saver's frames.

    Args:
        envelopes: Encrypts and decrypts.
        tenant: Whose they are: what one tenant's saver has written, another's doesn't open.
        searchable: Fields of metadata that a database may have in the clear.
    """

    def __init__(self, envelopes: Envelopes, tenant: str, searchable: frozenset[str]) -> None:
        self.searchable = searchable
        self._envelopes = envelopes
        self._tenant = tenant
        self._known: dict[tuple[str, str], Encrypted] = {}

    def at(self, thread_id: str, checkpoint_ns: str) -> Encrypted:
        """Return what encrypts a namespace's frames."""
        key = (thread_id, checkpoint_ns)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MOST:
                for old in list(self._known)[: _MOST // 2]:
                    self._known.pop(old, None)
            found = self._known[key] = Encrypted(self._envelopes, _packed("perdure", self._tenant, *key))
        return found


def vault_of(serde: Any) -> Vault | None:
    """Return what encrypts frames, if a serializer has it: see `EncryptedSerializer`."""
    envelopes: Envelopes | None = getattr(serde, "envelopes", None)
    return None if envelopes is None else Vault(envelopes, serde.tenant, serde.searchable)


def key_of(data: bytes) -> str | None:
    """Return the id of the key that something stored is under; None: it isn't encrypted."""
    return key_id_of(data[_START:]) if is_encrypted(data) else None


def _packed(*parts: str | int) -> bytes:
    return packb([str(part).encode("utf-8", "surrogatepass") for part in parts])


def _plain(data: bytes, kind: str | int, *place: str | int) -> Exception:
    if not fits(data, "" if kind == "piece" else "\0".join(map(str, place))):
        return damage()
    return EncryptionError(
        "stored bytes aren't encrypted, and this saver reads encrypted ones only",
        hint="`perdure migrate --encrypted-target` copies what was written without encryption; if nothing was, "
        "somebody has put it there",
    )
