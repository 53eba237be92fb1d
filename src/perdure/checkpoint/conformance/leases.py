"""Cases: leases, and the commits that carry them."""

# ruff: noqa: D103 - the name of a case is what it says

from __future__ import annotations

import asyncio
from typing import Any

from perdure.checkpoint.base import Lease
from perdure.checkpoint.conformance.case import Case, collector, expect, expect_error, place, put
from perdure.checkpoint.conformance.commits import commit, step
from perdure.errors import ConflictError

CASES: list[Case] = []
case = collector(CASES, "commit", "leases")

_LONG = 60.0
_SHORT = 0.05


@case
async def one_holder_at_a_time(saver: Any) -> None:
    lease = await saver.acquire("t", "me", _LONG)
    expect(lease, Lease("t", "me", 1), "the first lease")
    expect(await saver.acquire("t", "you", _LONG), None, "while it is held")
    expect(await saver.acquire("t", "me", _LONG), lease, "the holder's own")
    expect((await saver.acquire("u", "you", _LONG)).generation, 1, "another thread")
    await saver.release(lease)
    expect(await saver.acquire("t", "you", _LONG), Lease("t", "you", 2), "after the release")
    await saver.release(lease)
    expect(await saver.acquire("t", "me", _LONG), None, "an old lease can't be released")


@case
async def an_expired_lease_changes_hands(saver: Any) -> None:
    mine = await saver.acquire("t", "me", _SHORT)
    expect(await saver.renew([mine], _SHORT), ["held"], "renewal")
    await asyncio.sleep(_SHORT * 2)
    yours = await saver.acquire("t", "you", _LONG)
    expect(yours, Lease("t", "you", mine.generation + 1), "after it expired")
    expect(await saver.renew([mine, yours], _LONG), ["lost", "held"], "renewals")


@case
async def a_lost_lease_cannot_commit(saver: Any) -> None:
    mine = await saver.acquire("t", "me", _SHORT)
    first = step(None, 1, lease=mine)
    await commit(saver, first)
    await asyncio.sleep(_SHORT * 2)
    head = first.checkpoint["id"]  # type: ignore[index]
    late = step(head, 2, lease=mine)
    await commit(saver, late)  # it expired, but nobody took it
    yours = await saver.acquire("t", "you", _LONG)
    head = late.checkpoint["id"]  # type: ignore[index]
    await expect_error(ConflictError, commit(saver, step(head, 3, lease=mine)), "the old holder")
    await commit(saver, step(head, 4, lease=yours))
    expect(len(await saver.list(place())), 3, "checkpoints")


@case
async def a_holder_can_be_asked_to_stop(saver: Any) -> None:
    await saver.request_stop("t")
    lease = await saver.acquire("t", "me", _LONG)
    expect(await commit(saver, step(None, 1, lease=lease)), False, "before")
    await saver.request_stop("t")
    for n in (2, 3):
        head = await saver.get_head("t")
        expect(await commit(saver, step(head, n, lease=lease)), True, f"after, step {n}")
    expect(await saver.renew([lease], _LONG), ["stop"], "renewal")
    await saver.release(lease)
    lease = await saver.acquire("t", "you", _LONG)
    expect(await saver.renew([lease], _LONG), ["held"], "the next holder")


@case
async def deleting_the_thread_ends_its_lease(saver: Any) -> None:
    await put(saver)
    lease = await saver.acquire("t", "me", _LONG)
    await saver.delete_thread("t")
    expect(await saver.renew([lease], _LONG), ["lost"], "renewal")
    await expect_error(ConflictError, commit(saver, step(None, 1, lease=lease)), "commit")
