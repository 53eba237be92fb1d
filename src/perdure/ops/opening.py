"""Databases opened by URL for operations that know no graph: unknown types stay data, stored again as they were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

from perdure.checkpoint.base import BaseCheckpointSaver
from perdure.checkpoint.registry import open_saver
from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.checkpoint.serde.jsonplus import JsonPlusSerializer
from perdure.errors import StorageError
from perdure.interop.recognising import has_our_tables, has_their_store, has_their_tables
from perdure.store.base import BaseStore
from perdure.store.registry import has_store, open_store

__all__ = ["Database", "Where", "opened"]


class Database:
    """A saver, and the store that lies in the same database, if there is one.

    Args:
        saver: The saver.
        store: The store.
    """

    def __init__(self, saver: BaseCheckpointSaver[Any], store: BaseStore | None = None) -> None:
        self.saver = saver
        self.store = store


Where = str | BaseCheckpointSaver[Any] | Database
"""A URL, a saver, or a database."""

THEIRS: Final = "langgraph+"
"""What stands before a URL of a database in LangGraph's own tables."""


@contextmanager
def opened(
    where: Where,
    *,
    encrypted: bool = False,
    recognise: bool = True,
    is_new: bool = False,
    channels: Mapping[str, Any] | None = None,
) -> Iterator[Database]:
    """Open a database for the length of a `with` block.

    Args:
        where: A URL as `open_saver` takes it, or one with `langgraph+` before it, of a database of LangGraph's; or a
            saver, or a `Database`, which stay the caller's to close.
        encrypted: Whether its values are encrypted, with the keys that `EncryptedSerializer.from_environment` finds.
        recognise: Whether a database that has LangGraph's tables, and none of perdure's, is opened as such.
        is_new: Whether it may have no tables yet: then they are made.
        channels: Those of the graph that made the threads in a database of LangGraph's.

    Raises:
        UsageError: No installed saver knows the URL.
        StorageError: It isn't there, or has no tables of perdure's, and isn't meant to be new. Nothing is made then.
    """
    if not isinstance(where, str):
        yield where if isinstance(where, Database) else Database(where)
        return
    if where.startswith(THEIRS) or (recognise and has_their_tables(where)):
        from perdure.interop.langgraph_databases import open_database

        url = where.removeprefix(THEIRS)
        with open_database(url, channels) as theirs, _their_items(url, is_target=is_new) as items:
            yield Database(theirs, items)
        return
    if not is_new and not has_our_tables(where):
        raise StorageError(
            f"{nameable(where)} is missing, or has nothing of perdure's in it",
            hint="is the URL right? Programs that store something make the tables, and so does `perdure setup`",
        )
    serde = _serializer(encrypted=encrypted)
    with open_saver(where, serde=serde) as saver:
        if not has_store(where):
            yield Database(saver)
            return
        with open_store(where, serde=serde) as store:
            yield Database(saver, store)


def nameable(url: str) -> str:
    """Return a URL as it may be shown: without a user, a password and parameters."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    host, slash, path = rest.partition("?")[0].partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"


def _their_items(url: str, *, is_target: bool) -> AbstractContextManager[BaseStore | None]:
    """Open LangGraph's store where there is one, or where there is to be one."""
    if not (is_target or has_their_store(url)):
        return nullcontext()
    from perdure.interop.langgraph_items import open_items

    return open_items(url)


def _serializer(*, encrypted: bool) -> SerializerProtocol:
    plain = JsonPlusSerializer(unknown="data")
    if not encrypted:
        return plain
    from perdure.checkpoint.serde.encrypted import EncryptedSerializer

    return EncryptedSerializer.from_environment(plain)
