"""What a server keeps of threads beside their states, erased: for `perdure.ops.erase`, which finds it by its name.

It needs none of the server's packages: who erases may be where no server is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from perdure.checkpoint.registry import is_sqlite, sqlite_path
from perdure.database.sqltext import load_statements

__all__ = ["erase_threads"]

_SQL: Final = load_statements(Path(__file__).with_name("erasing.sql"))
_TIMEOUT: Final = 30.0

Ask = Callable[[str, Sequence[Any]], Sequence[Sequence[Any]]]


def erase_threads(url: str, thread_ids: Sequence[str]) -> list[str]:
    """Delete what a server keeps of threads: runs with inputs and events, crons, messages that wait, metadata.

    All or nothing.

    Args:
        url: The database, SQLite or Postgres; one that no server has used has nothing.
        thread_ids: The threads.

    Returns:
        The ids of the runs that were deleted.

    Raises:
        StorageError: The database can't be read or written.
    """
    return _on_sqlite(sqlite_path(url), thread_ids) if is_sqlite(url) else _on_postgres(url, thread_ids)


def _on_sqlite(path: str, thread_ids: Sequence[str]) -> list[str]:
    from perdure.database.sqlite.connection import connect, mapped

    connection = connect(path, _TIMEOUT)
    try:
        connection.execute("BEGIN IMMEDIATE")
        found = _erase(lambda text, values: connection.execute(text.replace("$1", "?1"), values), "sqlite", thread_ids)
        connection.execute("COMMIT")
    except Exception as error:
        raise mapped(error, path) from error
    finally:
        connection.close()  # which undoes what isn't committed
    return found


def _on_postgres(url: str, thread_ids: Sequence[str]) -> list[str]:
    import psycopg

    from perdure.database.postgres.connecting import parameters_of, place_of
    from perdure.database.postgres.errors import mapped

    parameters = parameters_of(url)

    def ask(text: str, values: Sequence[Any]) -> Sequence[Any]:
        asked = connection.execute(text.encode(), values)  # a constant of `erasing.sql`
        return asked.fetchall() if asked.description is not None else ()

    try:
        raw = psycopg.RawCursor
        with psycopg.connect(**parameters, prepare_threshold=None, cursor_factory=raw) as connection:
            return _erase(ask, "postgres", thread_ids)
    except psycopg.Error as error:
        raise mapped(error, place_of(parameters)) from error


def _erase(ask: Ask, kind: str, thread_ids: Sequence[str]) -> list[str]:
    if not ask(_SQL[f"is_servers on {kind}"], ()):
        return []
    found: list[str] = []
    for thread_id in thread_ids:
        found += [run_id for (run_id,) in ask(_SQL["runs"], (thread_id,))]
        for name in ("webhooks", "runs", "events", "crons", "thread"):
            ask(_SQL[f"delete_{name}"], (thread_id,))
    return found
