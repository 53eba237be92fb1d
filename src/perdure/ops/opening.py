"""Databases opened by URL for operations that know no graph: unknown types stay data, stored again as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from perdure.checkpoint.base import BaseCheckpointSaver
from perdure.checkpoint.registry import open_saver
from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.checkpoint.serde.jsonplus import JsonPlusSerializer
from perdure.store.base import BaseStore
from perdure.store.registry import has_store, open_store

__all__ = ["Database", "opened"]


class Database:
    """A saver, and the store that lies in the same database, if there is one.

    Args:
        saver: The saver.
        store: The store.
    """

    def __init__(self, saver: BaseCheckpointSaver[Any], store: BaseStore | None = None) -> None:
        self.saver = saver
        self.store = store


@contextmanager
def opened(where: str | BaseCheckpointSaver[Any] | Database, *, encrypted: bool = False) -> Iterator[Database]:
    """Open a database for the length of a `with` block.

    Args:
        where: A URL as `open_saver` takes it; or a saver, or a database, which stay the caller's to close.
        encrypted: Whether its values are encrypted, with the key that `EncryptedSerializer.from_aes` finds.

    Raises:
        UsageError: No installed saver knows the URL.
    """
    if not isinstance(where, str):
        yield where if isinstance(where, Database) else Database(where)
        return
    serde = _serializer(encrypted=encrypted)
    with open_saver(where, serde=serde) as saver:
        if not has_store(where):
            yield Database(saver)
            return
        with open_store(where, serde=serde) as store:
            yield Database(saver, store)


def _serializer(*, encrypted: bool) -> SerializerProtocol:
    plain = JsonPlusSerializer(unknown="data")
    if not encrypted:
        return plain
    from perdure.checkpoint.serde.encrypted import EncryptedSerializer

    return EncryptedSerializer.from_aes(serde=plain)
