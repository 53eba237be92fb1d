"""Whether a bucket can be relied on: it is there, it lets us in, and its store honours conditions."""

from __future__ import annotations

import secrets
from typing import Final

from perdure.database.objects.exchange import Delete, Exchange, Get, Missing, Object, Patience, Put, ask, swap
from perdure.errors import SchemaVersionError, StorageError

MARK: Final = "perdure"
"""The key of the object that says that the bucket was probed, and of which version its objects are."""

_VERSION: Final = b"perdure 1\n"


def make_ready(retry_for: float) -> Exchange[None]:
    """Probe a bucket, unless that was done.

    Raises:
        StorageError: It can't be relied on.
        SchemaVersionError: A newer perdure has written there.
    """
    patience = Patience(retry_for)
    [found] = yield from ask([Get(MARK)], patience)
    if found is Missing:
        yield from _probe(patience)
        found = yield from swap(Put(MARK, _VERSION, None), patience)
    if isinstance(found, Object) and found.data != _VERSION:
        raise SchemaVersionError(
            f"the object {MARK!r} says {found.data[:40]!r}, not {_VERSION!r}", hint="use the perdure that wrote there"
        )


def _probe(patience: Patience) -> Exchange[None]:
    key = f"probe/{secrets.token_hex(8)}"
    first = yield from swap(Put(key, b"1", None), patience)
    again = yield from swap(Put(key, b"2", None), patience)
    second = yield from swap(Put(key, b"3", first if isinstance(first, str) else None), patience)
    stale = yield from swap(Put(key, b"4", first if isinstance(first, str) else None), patience)
    yield from ask([Delete([key])], patience)
    if isinstance(again, str) or isinstance(stale, str):
        raise _unfit("it ignores the conditions of puts (If-None-Match, If-Match)")
    if not isinstance(first, str) or not isinstance(second, str) or not first or first == second:
        raise _unfit("it refuses conditional puts (If-None-Match, If-Match) that should succeed, or gives no ETag")


def _unfit(what: str) -> StorageError:
    return StorageError(
        f"this object store can't keep checkpoints: {what}",
        hint="without conditional writes two writers would overwrite each other; Amazon S3, Azure and SeaweedFS "
        "have them, and so may a newer version of this one",
    )
