"""Searches by what is in states: those are the saver's, perhaps encrypted, so each is read, up to a bound.

What SQL can say (metadata, status, ids, whose threads) is said there first. States are read some at a time, and
forgotten at once: how many threads there are costs time, but no memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from perdure.server.database import threads
from perdure.server.encoding import decode, encode
from perdure.server.errors import InvalidRequestError
from perdure.server.schema import ThreadCount, ThreadSearch
from perdure.server.states import state_of

if TYPE_CHECKING:
    from perdure.server.core import Core

_AT_ONCE: Final = 16
_PAGE: Final = 256

Row = dict[str, Any]


async def states_of(core: Core, rows: Iterable[Row]) -> list[Any]:
    """Return the states of threads, read some at a time."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(row: Row) -> Any:
        async with gate:
            return await state_of(core, row)

    return await asyncio.gather(*map(one, rows))


async def with_values(core: Core, asked: ThreadSearch, filters: str | None) -> list[Row]:
    """Return the page of threads that have the values that are asked for, and one more if there is.

    Raises:
        InvalidRequestError: Too many states would have to be read.
    """
    wanted = asked.offset + asked.limit + 1
    found: list[Row] = []
    async for row in _matching(core, asked, filters):
        found.append(row)
        if len(found) == wanted:
            break
    return found[asked.offset :]


async def count_with_values(core: Core, asked: ThreadCount, filters: str | None) -> int:
    """Return how many threads have the values that are asked for.

    Raises:
        InvalidRequestError: Too many states would have to be read.
    """
    search = ThreadSearch(ids=asked.ids, metadata=asked.metadata, values=asked.values, status=asked.status)
    return len([None async for _ in _matching(core, search, filters)])


async def _matching(core: Core, asked: ThreadSearch, filters: str | None) -> AsyncIterator[Row]:
    most = core.settings.most_scanned
    page = msgspec.structs.replace(asked, limit=_PAGE, offset=0)
    seen: set[str] = set()  # a thread that is changed meanwhile may come again
    while rows := await core.database.read(threads.search, page, filters):
        page.offset += len(rows)
        if page.offset > most:
            raise InvalidRequestError(
                f"more than {most} states would have to be read to search them by their values",
                hint="narrow the search by metadata, status or ids; what is searched for often belongs into metadata",
            )
        for row, state in zip(rows, await states_of(core, rows), strict=True):
            if row["thread_id"] not in seen and _has(state, asked.values or {}):
                yield row
            seen.add(row["thread_id"])
        if len(rows) < _PAGE:
            return


def _has(state: Any, wanted: dict[str, Any]) -> bool:
    """Tell whether a state has values, as clients see them."""
    values = {} if state is None or not isinstance(state.values, dict) else state.values
    return all(key in values and _same(values[key], value) for key, value in wanted.items())


def _same(value: Any, wanted: Any) -> bool:
    is_plain = value is None or isinstance(value, (bool, int, float, str))
    return bool((value if is_plain else decode(encode(value))) == wanted)
