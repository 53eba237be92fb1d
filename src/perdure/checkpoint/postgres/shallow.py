"""A saver on Postgres that keeps no history: of each namespace the newest checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from perdure.checkpoint.base import V
from perdure.checkpoint.postgres import PostgresSaver
from perdure.checkpoint.records import Prepared
from perdure.database.opening import AsyncOpened
from perdure.errors import ThreadHeldError

__all__ = ["AsyncShallowPostgresSaver", "ShallowPostgresSaver"]


class ShallowPostgresSaver(PostgresSaver[V]):
    """Keeps the newest checkpoint of each namespace, with its writes; there is no way back to an older one.

    What a commit has made old is deleted after it, by a call of its own: a process that dies in between leaves it to
    the next commit. That costs a round trip a superstep; `PostgresSaver` with `prune` now and then is cheaper.
    """

    def commit(self, prepared: Sequence[Prepared]) -> bool:
        stop = super().commit(prepared)
        if moved := _moved(prepared):
            with suppress(ThreadHeldError):  # its history stays, as long as the hold does
                self.prune(moved)
        return stop

    async def acommit(self, prepared: Sequence[Prepared]) -> bool:
        stop = await super().acommit(prepared)
        if moved := _moved(prepared):
            with suppress(ThreadHeldError):
                await self.aprune(moved)
        return stop


class AsyncShallowPostgresSaver(AsyncOpened, ShallowPostgresSaver[V]):  # type: ignore[misc]  # a block of the other colour
    """A `ShallowPostgresSaver` that is opened by `async with`; both colours work on both."""


def _moved(prepared: Sequence[Prepared]) -> list[str]:
    """Return the threads that have got a new checkpoint with a parent."""
    return sorted({one.thread_id for one in prepared if one.checkpoint_id is not None and one.parent_id is not None})
