"""The buckets of cloud providers, and of servers that speak their protocols: one client knows them all, obstore."""

from __future__ import annotations

import os
import re
from typing import Any

import obstore
from obstore import exceptions
from obstore.store import ObjectStore

from perdure.database.objects.client import Client
from perdure.database.objects.exchange import (
    PAGE,
    Delete,
    Get,
    Listed,
    Lost,
    Missing,
    Object,
    Put,
    Refused,
    Request,
    Same,
    first_line,
)
from perdure.errors import StorageError, UsageError

_CLIENT_ERROR = re.compile(r"status code: (4\d\d)")
_LATER = {"408", "409", "429"}


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


class BucketClient(Client):
    """Sends requests to one bucket, or to what lies in it below a prefix.

    Args:
        store: The bucket.
        credentials: Where the store's credentials come from, for hints.
    """

    def __init__(self, store: ObjectStore, credentials: str) -> None:
        super().__init__()
        self._store = store
        self._credentials = credentials

    def __repr__(self) -> str:
        return repr(self._store)

    def _send(self, request: Request) -> Any:
        _check_process()
        try:
            return self._ask(request)
        except Exception as e:  # noqa: BLE001 - mapped in one place
            return self._mapped(e)

    async def _asend(self, request: Request) -> Any:
        _check_process()
        try:
            return await self._aask(request)
        except Exception as e:  # noqa: BLE001 - mapped in one place
            return self._mapped(e)

    def _ask(self, request: Request) -> Any:
        store = self._store
        if isinstance(request, Get):
            got = obstore.get(store, request.key, options=_unless(request.etag))
            return Object(bytes(got.bytes()), got.meta["e_tag"] or "")
        if isinstance(request, Put):
            return obstore.put(store, request.key, request.data, mode=_mode(request), use_multipart=False)["e_tag"]
        if isinstance(request, Delete):
            return obstore.delete(store, list(request.keys))
        found: list[Listed] = []
        for page in obstore.list(store, request.prefix, offset=request.after, chunk_size=PAGE):
            if _fills(found, page, request.after):
                break
        return found

    async def _aask(self, request: Request) -> Any:
        store = self._store
        if isinstance(request, Get):
            got = await obstore.get_async(store, request.key, options=_unless(request.etag))
            return Object(bytes(await got.bytes_async()), got.meta["e_tag"] or "")
        if isinstance(request, Put):
            options: Any = {"mode": _mode(request), "use_multipart": False}
            return (await obstore.put_async(store, request.key, request.data, **options))["e_tag"]
        if isinstance(request, Delete):
            return await obstore.delete_async(store, list(request.keys))
        found: list[Listed] = []
        async for page in obstore.list(store, request.prefix, offset=request.after, chunk_size=PAGE):
            if _fills(found, page, request.after):
                break
        return found

    def _mapped(self, error: Exception) -> Any:
        """Return the answer that an error is, or raise what the caller must know."""
        text = str(error)
        if "NoSuchBucket" in text or "ContainerNotFound" in text:
            raise StorageError(
                f"there is no such bucket: {first_line(error)}", hint="create it, or correct the URL"
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
                f"the object store refuses{f' ({code[1]})' if code else ''}: {first_line(error)}",
                hint=f"check {self._credentials}, and that the key may get, put, delete and list objects of this "
                "bucket",
            ) from error
        if isinstance(error, exceptions.BaseError):
            return Lost(error)
        raise error


def _unless(etag: str | None) -> Any:
    return None if etag is None else {"if_none_match": etag}


def _mode(put: Put) -> Any:
    return "create" if put.etag is None else {"e_tag": put.etag}


def _fills(found: list[Listed], page: Any, after: str | None) -> bool:
    """Add what was listed, up to `PAGE`. A store that can't begin behind a key (Azurite) lists what is before, too."""
    found += [Listed(one["path"], one["size"], one["last_modified"]) for one in page if one["path"] > (after or "")]
    del found[PAGE:]
    return len(found) == PAGE
