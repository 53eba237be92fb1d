"""Requests to a store of objects: generators that yield them, and what waits for their answers.

Four requests are all that a store must know: get, put on a condition, delete, list. A `Client` sends them.

An exchange yields a batch of requests, which are sent at the same time, and is sent their answers; or it yields seconds
to wait. An answer is never raised: a request that got none is answered by what went wrong, and `ask` tries it
again. A conditional put whose answer was lost may have succeeded: `swap` looks, and recognises its own bytes.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Generator, Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeVar

from perdure.errors import TransientStorageError

T = TypeVar("T")


class Get(NamedTuple):
    """Read an object; `Same` if it still has this etag."""

    key: str
    etag: str | None = None


class Put(NamedTuple):
    """Write an object, if the one that is there has this etag; None: if none is there. The answer is its etag."""

    key: str
    data: bytes
    etag: str | None


class Delete(NamedTuple):
    """Delete objects, those that are there."""

    keys: Sequence[str]


class List(NamedTuple):
    """List objects in ascending order of their keys, behind `after`: `PAGE` of them, or fewer if there are no more."""

    prefix: str
    after: str | None


class Object(NamedTuple):
    """An object that was read."""

    data: bytes
    etag: str


class Listed(NamedTuple):
    """An object that was listed."""

    key: str
    size: int
    modified: datetime


class Pause(NamedTuple):
    """Wait before the next request."""

    seconds: float


Same: Final = "same"
Missing: Final = None
Refused: Final = "refused"


class Lost(NamedTuple):
    """No answer, or one that says that the same request may succeed later."""

    error: Exception


Request = Get | Put | Delete | List
Exchange = Generator[list[Request] | Pause, Any, T]

PAGE: Final = 1000
"""Objects that one request lists, at most."""

AT_ONCE: Final = 32
"""Objects read at the same time."""


class Patience:
    """How long to go on, and how long to wait before the next attempt.

    Args:
        total: Seconds in all.
    """

    def __init__(self, total: float) -> None:
        self._end = time.monotonic() + total
        self._pause = 0.02

    def is_over(self) -> bool:
        return time.monotonic() >= self._end

    def pause(self) -> Pause:
        """Return how long to wait: growing, and by chance, so that several who wait don't meet again."""
        self._pause = min(2 * self._pause, 2.0)
        left = max(0.0, self._end - time.monotonic())
        return Pause(min(random.uniform(0, self._pause), left))  # noqa: S311 - not a secret


def ask(requests: Sequence[Request], patience: Patience) -> Exchange[Any]:
    """Send requests until each is answered.

    Raises:
        TransientStorageError: Patience was over before.
        StorageError: The store refuses: no such bucket, no permission.
    """
    answers: list[Any] = list((yield list(requests)))
    while lost := [n for n, answer in enumerate(answers) if isinstance(answer, Lost)]:
        if patience.is_over():
            raise _away(answers[lost[0]].error)
        yield patience.pause()
        for n, answer in zip(lost, (yield [requests[n] for n in lost]), strict=True):
            answers[n] = answer
    return answers


def swap(put: Put, patience: Patience) -> Exchange[str | Object | None]:
    """Write an object if the one that is there has an etag.

    The object's bytes must be unlike those of any other writer: by them a success is known whose answer was lost.

    Returns:
        The new etag; or what is there instead, None if nothing is, and then nothing was written.

    Raises:
        TransientStorageError: It can't be known: all of it was written, or nothing.
        StorageError: As `ask`.
    """
    while True:
        answer: Any = (yield [put])[0]
        if answer != Refused and not isinstance(answer, Lost):
            return answer  # type: ignore[no-any-return]
        [found] = yield from ask([Get(put.key)], patience)
        if found is not Missing and found.data == put.data:
            return found.etag  # type: ignore[no-any-return]
        if not isinstance(answer, Lost) or (found.etag if found else None) != put.etag:
            return found  # type: ignore[no-any-return]
        if patience.is_over():
            raise _away(answer.error)
        yield patience.pause()


def read(keys: Sequence[str], patience: Patience) -> Exchange[dict[str, bytes]]:
    """Read objects, all at the same time; those that are gone are left out."""
    found = yield from ask([Get(key) for key in keys], patience)
    return {key: one.data for key, one in zip(keys, found, strict=True) if one is not Missing}


def list_all(prefix: str, patience: Patience, after: str | None = None) -> Exchange[list[Listed]]:
    """List all objects under a prefix."""
    found: list[Listed] = []
    while True:
        [page] = yield from ask([List(prefix, after)], patience)
        found += page
        if len(page) < PAGE:
            return found
        after = page[-1].key


def deletes(keys: Sequence[str]) -> list[Request]:
    """Make the requests that delete objects.

    None is of more than Azure takes at once: where one object isn't there, it says so, and the others of the same
    request are deleted all the same.
    """
    return [Delete(some) for some in parts(keys, 256)]


def parts(items: Sequence[T], size: int = AT_ONCE) -> Iterator[Sequence[T]]:
    """Split what is too much for one time."""
    return (items[at : at + size] for at in range(0, len(items), size))


def _away(error: Exception) -> TransientStorageError:
    lost = TransientStorageError(
        f"the object store doesn't answer: {first_line(error)}",
        hint="try again; a write that failed so may have been stored, and storing it again is harmless",
    )
    lost.__cause__ = error
    return lost


def first_line(error: Exception) -> str:
    """Return what an error says first, without a password."""
    return re.sub(r"https?://[^/ ]*@", "https://", str(error).partition("\n")[0])
