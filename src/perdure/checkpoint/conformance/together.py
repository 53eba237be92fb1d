"""Cases: several callers at once, in threads or on one event loop."""

# ruff: noqa: D103 - the name of a case is what it says

from __future__ import annotations

from typing import Any

from perdure.checkpoint.conformance.case import Case, at_once, collector, expect, place, put, values
from perdure.checkpoint.conformance.commits import commit, step
from perdure.errors import ConflictError

CASES: list[Case] = []
case = collector(CASES)
own = collector(CASES, "commit")
leased = collector(CASES, "commit", "leases")

_CALLERS = 8
_EACH = 4


@case
async def threads_written_at_once_each_have_their_own(saver: Any) -> None:
    async def write(caller: Any, n: int) -> None:
        config = place(f"t{n}")
        for version in range(1, _EACH + 1):
            config = await put(caller, {"x": [n] * version}, config=config, versions={"x": version})

    await at_once(saver, write, range(_CALLERS))
    for n in range(_CALLERS):
        expect((await values(saver, place(f"t{n}")))["x"], [n] * _EACH, f"thread t{n}")
        expect(len(await saver.list(place(f"t{n}"))), _EACH, f"checkpoints of thread t{n}")


@case
async def writes_of_tasks_that_end_at_once_are_all_kept(saver: Any) -> None:
    config = await put(saver, {"x": 1})

    async def write(caller: Any, n: int) -> None:
        await caller.put_writes(config, [("x", n), ("y", str(n))], f"task-{n}")

    await at_once(saver, write, range(_CALLERS))
    found = (await saver.get_tuple(config)).pending_writes
    expect(found, [(f"task-{n}", *pair) for n in range(_CALLERS) for pair in (("x", n), ("y", str(n)))], "writes")


@own
async def of_callers_that_commit_on_one_head_one_wins(saver: Any) -> None:
    await commit(saver, step(None, 0))
    lost: list[int] = []

    async def add(caller: Any, n: int) -> None:
        for _ in range(_EACH):
            while True:
                head = await caller.get_head("t")
                try:
                    await commit(caller, step(head, n, expected_head=head))
                    break
                except ConflictError:
                    lost.append(n)

    await at_once(saver, add, range(_CALLERS))
    chain = await saver.list(place())
    expect(len(chain), _CALLERS * _EACH + 1, "checkpoints, all that were acknowledged")
    parents = [found.parent_config["configurable"]["checkpoint_id"] for found in chain[:-1]]
    expect(parents, [found.config["configurable"]["checkpoint_id"] for found in chain[1:]], "one line of parents")


@leased
async def one_of_those_who_ask_at_once_gets_the_lease(saver: Any) -> None:
    got: list[Any] = []

    async def ask(caller: Any, n: int) -> None:
        if (lease := await caller.acquire("t", f"holder-{n}", 60.0)) is not None:
            got.append(lease)

    await at_once(saver, ask, range(_CALLERS))
    expect([lease.generation for lease in got], [1], "generations of the leases that were given")
