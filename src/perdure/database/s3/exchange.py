"""Requests to an object store: generators that yield them, and what sends them in either colour.

An exchange yields a batch of requests, which are sent at the same time, and is sent their answers; or it yields seconds
to wait. An answer is never raised: a request that got none is answered by what went wrong, and `ask` tries it
again. A conditional put whose answer was lost may have succeeded: `swap` looks, and recognises its own bytes.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, TypeVar

import obstore
from obstore import exceptions
from obstore.store import S3Store

from perdure.errors import StorageError, TransientStorageError, UsageError

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
    """List up to `limit` objects in ascending order of their keys, behind `after`."""

    prefix: str
    after: str | None
    limit: int


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

_CLIENT_ERROR = re.compile(r"status code: (4\d\d)")
_LATER = {"408", "409", "429"}


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


def list_all(prefix: str, patience: Patience, after: str | None = None) -> Exchange[list[Listed]]:
    """List all objects under a prefix."""
    found: list[Listed] = []
    while True:
        [page] = yield from ask([List(prefix, after, PAGE)], patience)
        found += page
        if len(page) < PAGE:
            return found
        after = page[-1].key


PAGE: Final = 1000
"""Objects that one request lists, at most."""


def _away(error: Exception) -> TransientStorageError:
    lost = TransientStorageError(
        f"the object store doesn't answer: {_first_line(error)}",
        hint="try again; a write that failed so may have been stored, and storing it again is harmless",
    )
    lost.__cause__ = error
    return lost


def _first_line(error: Exception) -> str:
    return re.sub(r"https?://[^/ ]*@", "https://", str(error).partition("\n")[0])


def _mapped(error: Exception) -> Any:
    """Return the answer that an error is, or raise what the caller must know."""
    text = str(error)
    if "NoSuchBucket" in text:
        raise StorageError(
            f"there is no such bucket: {_first_line(error)}", hint="create it, or correct the URL"
        ) from error
    if isinstance(error, FileNotFoundError):
        return Missing
    if isinstance(error, exceptions.NotModifiedError):
        return Same
    if isinstance(error, (exceptions.AlreadyExistsError, exceptions.PreconditionError)):
        return Refused
    refused = isinstance(error, (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError))
    status = _CLIENT_ERROR.search(text)
    if refused or (status and status[1] not in _LATER):
        code = re.search(r"<Code>(\w+)</Code>", text)
        raise StorageError(
            f"the object store refuses{f' ({code[1]})' if code else ''}: {_first_line(error)}",
            hint="check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, the region, and that the key may get, put, delete "
            "and list objects of this bucket",
        ) from error
    if isinstance(error, exceptions.BaseError):
        return Lost(error)
    raise error


_started = False
_is_forked = False


def _after_fork() -> None:
    global _is_forked
    _is_forked = _started


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _check_process() -> None:
    """Refuse in the child of a process that has used the client: its threads are not there, and it would hang."""
    global _started
    if _is_forked:
        raise UsageError(
            "this process was forked from one that had used an object store",
            hint="start it by 'spawn' or 'forkserver', or fork before the first use",
        )
    _started = True


class Client:
    """Sends requests to one bucket, in either colour; safe for any number of threads and event loops.

    Args:
        store: The bucket.

    Attributes:
        counts: How many requests of each kind were sent.
    """

    def __init__(self, store: S3Store) -> None:
        self._store = store
        self._pool: ThreadPoolExecutor | None = None
        self.counts: dict[Literal["get", "put", "delete", "list"], int] = {"get": 0, "put": 0, "delete": 0, "list": 0}
        self.bytes_put = 0

    def run(self, exchange: Exchange[T]) -> T:
        """Carry out an exchange."""
        answers: Any = None
        while True:
            try:
                wanted = exchange.send(answers)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            if isinstance(wanted, Pause):
                time.sleep(wanted.seconds)
                answers = None
            elif len(wanted) == 1:
                answers = [self._send(wanted[0])]
            else:
                answers = list(self._threads().map(self._send, wanted))

    async def arun(self, exchange: Exchange[T]) -> T:
        """Async twin of `run`."""
        answers: Any = None
        while True:
            try:
                wanted = exchange.send(answers)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            if isinstance(wanted, Pause):
                await asyncio.sleep(wanted.seconds)
                answers = None
            elif len(wanted) == 1:
                answers = [await self._asend(wanted[0])]
            else:
                answers = await asyncio.gather(*[self._asend(one) for one in wanted])

    def close(self) -> None:
        """Stop the threads that sync callers have needed."""
        if self._pool is not None:
            self._pool.shutdown()

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(16, "perdure-s3")
        return self._pool

    def _send(self, request: Request) -> Any:
        self._count(request)
        store = self._store
        try:
            if isinstance(request, Get):
                got = obstore.get(store, request.key, options=_unless(request.etag))
                return Object(bytes(got.bytes()), got.meta["e_tag"] or "")
            if isinstance(request, Put):
                mode = _mode(request)
                return obstore.put(store, request.key, request.data, mode=mode, use_multipart=False)["e_tag"]
            if isinstance(request, Delete):
                return obstore.delete(store, list(request.keys))
            stream = obstore.list(store, request.prefix, offset=request.after, chunk_size=request.limit)
            return _listed(next(iter(stream), ()))
        except Exception as e:  # noqa: BLE001 - mapped in one place
            return _mapped(e)

    async def _asend(self, request: Request) -> Any:
        self._count(request)
        store = self._store
        try:
            if isinstance(request, Get):
                got = await obstore.get_async(store, request.key, options=_unless(request.etag))
                return Object(bytes(await got.bytes_async()), got.meta["e_tag"] or "")
            if isinstance(request, Put):
                mode = _mode(request)
                return (await obstore.put_async(store, request.key, request.data, mode=mode, use_multipart=False))[
                    "e_tag"
                ]
            if isinstance(request, Delete):
                return await obstore.delete_async(store, list(request.keys))
            stream = obstore.list(store, request.prefix, offset=request.after, chunk_size=request.limit)
            async for page in stream:  # `anext` with a default fails where the stream is empty
                return _listed(page)
        except Exception as e:  # noqa: BLE001 - mapped in one place
            return _mapped(e)
        return []

    def _count(self, request: Request) -> None:
        _check_process()
        name: Any = type(request).__name__.lower()
        self.counts[name] += 1
        if isinstance(request, Put):
            self.bytes_put += len(request.data)


def _unless(etag: str | None) -> Any:
    return None if etag is None else {"if_none_match": etag}


def _mode(put: Put) -> Any:
    return "create" if put.etag is None else {"e_tag": put.etag}


def _listed(found: Any) -> list[Listed]:
    return [Listed(one["path"], one["size"], one["last_modified"]) for one in found]
