"""Operations on the rules of threads: how long each is kept, and whether it is on hold."""

from __future__ import annotations

from collections.abc import Iterable

from perdure.checkpoint.rules import Change, Rules, check_free, opened_rules
from perdure.checkpoint.tables.dialect import Dialect
from perdure.database.operation import Op


def keep(dialect: Dialect, thread_id: str, change: Change) -> Op[Rules]:
    """Change a thread's rules."""
    # The namespaces are locked first, as by whoever deletes: of the two, the second sees what the first has done.
    _, rows = yield [
        (dialect.sql["namespaces_of_thread"], (thread_id,)),
        (dialect.sql["set_rules"], (thread_id, *change)),
    ]
    [(ttl, hold)] = rows
    if ttl is None and hold is None:
        yield [(dialect.sql["delete_rules"], (thread_id,))]
    return opened_rules(ttl, hold)


def rules_of(dialect: Dialect, thread_id: str) -> Op[Rules]:
    """Return a thread's rules."""
    [rows] = yield [(dialect.sql["rules"], (thread_id,))]
    return opened_rules(*rows[0]) if rows else Rules()


def list_rules(dialect: Dialect, after: str | None, limit: int | None, *, held: bool) -> Op[list[tuple[str, Rules]]]:
    """Return the threads that have rules, behind an id."""
    [rows] = yield [(dialect.sql["all_rules"], (after, dialect.limited(limit), held))]
    return [(thread_id, opened_rules(ttl, hold)) for thread_id, ttl, hold in rows]


def check_all_free(dialect: Dialect, thread_ids: Iterable[str]) -> Op[None]:
    """Check that nothing of threads is on hold, whose namespaces are locked by now.

    Raises:
        ThreadHeldError: One of them is.
    """
    asked = list(thread_ids)
    if asked:
        replies = yield [(dialect.sql["rules"], (thread_id,)) for thread_id in asked]
        for thread_id, rows in zip(asked, replies, strict=True):
            check_free(thread_id, rows)


def check_spaces_free(dialect: Dialect, spaces: Iterable[int]) -> Op[None]:
    """Check that the threads of namespaces, which are locked by now, aren't on hold.

    Raises:
        ThreadHeldError: One of them is.
    """
    asked = list(spaces)
    if asked:
        places = yield [(dialect.sql["place_of_namespace"], (ns,)) for ns in asked]
        yield from check_all_free(dialect, sorted({rows[0][0] for rows in places}))
