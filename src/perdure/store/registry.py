"""Stores by URL: those that lie in the same database as a saver."""

from __future__ import annotations

from typing import Any, Final

from perdure.checkpoint.registry import is_sqlite, sqlite_path
from perdure.errors import UsageError

__all__ = ["has_store", "open_store"]

_POSTGRES: Final = ("postgres:", "postgresql:")


def has_store(url: str) -> bool:
    """Tell whether a database keeps items of a store, and not checkpoints alone."""
    return url.startswith(_POSTGRES) or is_sqlite(url)


def open_store(url: str, **options: Any) -> Any:
    """Open the store in the database that a URL names, in the forms that `open_saver` takes.

    Args:
        url: Of SQLite or Postgres.
        options: Passed to the store, such as `index` or `ttl`.

    Returns:
        The store, a `perdure.store.base.BaseStore`, which is a context manager too, in both colours.

    Raises:
        UsageError: No store lies in a database of this kind.
    """
    if url.startswith(_POSTGRES):
        from perdure.store.postgres import PostgresStore

        return PostgresStore.open(url, **options)
    if is_sqlite(url):
        from perdure.store.sqlite import SqliteStore

        return SqliteStore.open(sqlite_path(url), **options)
    raise UsageError(f"no store is known for {url!r}", hint="stores lie in SQLite or Postgres")
