"""Histories of calls on append-only lists, and a check that they are linearizable.

Each thread of a store is one list. An *append* is an `invoke` whose run appends its value and then the value's echo;
its result is the list afterwards. A *read* returns the list and the thread's head. A history is linearizable if all
calls can be put in one order that explains every result and respects real time: a call that ended before another began
comes first.

For lists whose values are all different that order can be read off the final list, so the check is linear in the
history: each result is a beginning of the final list, and says where its call stands.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

ECHO = "'"


class Call(NamedTuple):
    """A call and its reply, on a clock that all processes share.

    Attributes:
        thread: The list.
        value: What it appends; None: it reads.
        called: When.
        ended: When the reply came, or when the caller is known to have been dead.
        result: The list; None: there was no reply.
        head: The checkpoint id that a read found.
    """

    thread: str
    value: str | None
    called: float
    ended: float
    result: list[str] | None
    head: str | None = None


class Thread(NamedTuple):
    """A thread at the end: its list, and its checkpoints, as pairs of id and parent's id, in the order of `list`."""

    items: list[str]
    checkpoints: list[tuple[str, str | None]]


def problems(calls: Iterable[Call], final: dict[str, Thread]) -> list[str]:
    """Say why a history isn't linearizable; nothing if it is."""
    by_thread: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        by_thread[call.thread].append(call)
    found: list[str] = []
    for thread in by_thread.keys() | final.keys():
        end = final.get(thread, Thread([], []))
        its = by_thread[thread]
        checks = (
            _once(its, end.items),
            _beginnings(its, end.items),
            _in_time(its, end.items),
            _forward(its),
            _chain(end),
        )
        found += [f"thread {thread}: {problem}" for check in checks for problem in check]
    return found


def _appends(calls: list[Call]) -> dict[str, Call]:
    return {call.value: call for call in calls if call.value is not None}


def _once(calls: list[Call], items: list[str]) -> list[str]:
    """Each acknowledged value is there once with its echo right behind it; the others at most once."""
    appends = _appends(calls)
    found = [f"{item} is there {many} times" for item, many in Counter(items).items() if many > 1]
    found += [f"{item} was never written" for item in items if item.removesuffix(ECHO) not in appends]
    found += [f"{v} is lost" for v, call in appends.items() if call.result is not None and v not in items]
    for item, following in itertools.zip_longest(items, items[1:]):
        call = appends.get(item)
        if call is not None and call.result is not None and following != item + ECHO:
            found.append(f"{item} is followed by {following}: another run came between")
    for before, item in zip([None, *items], items, strict=False):
        if item.endswith(ECHO) and before != item.removesuffix(ECHO):
            found.append(f"{item} follows {before}")
    return found


def _beginnings(calls: list[Call], items: list[str]) -> list[str]:
    """Each result is a beginning of the final list; an append's ends with what it appended."""
    found = []
    for call in calls:
        if call.result is None:
            continue
        if call.result != items[: len(call.result)]:
            found.append(
                f"the result of {call.value or 'a read'} is no beginning of the final list: {call.result[-4:]}"
            )
        if call.value is not None and call.result[-2:] != [call.value, call.value + ECHO]:
            found.append(f"the result of {call.value} ends with {call.result[-2:]}")
    return found


def _in_time(calls: list[Call], items: list[str]) -> list[str]:
    """What ended earlier stands earlier, and a read sees exactly what it must and may."""
    place = {item: n for n, item in enumerate(items)}
    # Where a call stands: the length of the list right after it. Calls without an effect stand nowhere.
    stands: list[tuple[Call, int]] = []
    for call in calls:
        if call.value is None and call.result is not None:
            stands.append((call, len(call.result)))
        elif call.value in place:
            stands.append((call, place[call.value] + (2 if call.result is not None else 1)))
    found = []
    latest: tuple[int, Call | None] = (0, None)
    ended = sorted(stands, key=lambda s: s[0].ended)
    at = 0
    for call, stand in sorted(stands, key=lambda s: s[0].called):
        while at < len(ended) and ended[at][0].ended < call.called:
            latest = max(latest, (ended[at][1], ended[at][0]), key=lambda pair: pair[0])
            at += 1
        # An append must grow the list beyond all that ended before it, a read must see it.
        least = latest[0] + (0 if call.value is None else 1)
        if stand < least:
            found.append(
                f"{call.value or 'a read'} stands at {stand}, after a call that ended before it at {latest[0]}"
            )
    return found


def _forward(calls: list[Call]) -> list[str]:
    """Heads only go forward."""
    reads = [call for call in calls if call.value is None and call.head is not None]
    found = []
    ended = sorted(reads, key=lambda call: call.ended)
    latest, at = "", 0
    for read in sorted(reads, key=lambda call: call.called):
        while at < len(ended) and ended[at].ended < read.called:
            latest = max(latest, ended[at].head or "")
            at += 1
        if (read.head or "") < latest:
            found.append(f"the head went back from {latest} to {read.head}")
    return found


def _chain(end: Thread) -> list[str]:
    """Each checkpoint continues the one before: no fork, no gap."""
    ids = [checkpoint_id for checkpoint_id, _ in end.checkpoints]
    found = [] if ids == sorted(set(ids), reverse=True) else ["ids don't ascend"]
    parents = [parent for _, parent in end.checkpoints]
    if parents != [*ids[1:], None][: len(parents)]:
        found.append("the checkpoints are no chain")
    return found
