"""Files in a bucket: whole ones, too large for memory, and small ones that are changed by compare-and-set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import obstore
from obstore.store import S3Store

from perdure.database.objects.buckets import BucketClient
from perdure.database.objects.exchange import Delete, Get, Listed, Object, Patience, Put, ask, list_all, swap
from perdure.database.s3.opening import CREDENTIALS, open_bucket
from perdure.errors import StorageError

_REQUEST: Final = 60.0
_PATIENCE: Final = 30.0
_PART: Final = 8 << 20
"""Bytes that are sent or read at once."""


class Objects:
    """The objects below a prefix.

    Args:
        store: The prefix.
    """

    def __init__(self, store: S3Store) -> None:
        self._store = store
        self._client = BucketClient(store, CREDENTIALS)

    def get(self, key: str) -> Object | None:
        """Read a small object; None if it isn't there."""
        [found] = self._client.run(ask([Get(key)], Patience(_PATIENCE)))
        return found  # type: ignore[no-any-return]

    def swap(self, key: str, data: bytes, etag: str | None) -> bool:
        """Write a small object if the one that is there has this etag, None: if none is there; return whether it was.

        The bytes must be unlike those of any other writer.
        """
        return isinstance(self._client.run(swap(Put(key, data, etag), Patience(_PATIENCE))), str)

    def send(self, path: Path, key: str) -> None:
        """Write a file as an object: it is there whole, or not at all. Nobody else may write to that key."""
        try:
            obstore.put(self._store, key, path, chunk_size=_PART)
        except Exception as e:
            raise _failed(key, "written", e) from e

    def fetch(self, key: str, path: Path) -> None:
        """Read an object into a file."""
        try:
            with path.open("wb") as file:
                for part in obstore.get(self._store, key).stream(min_chunk_size=_PART):
                    file.write(part)
        except Exception as e:
            raise _failed(key, "read", e) from e

    def list(self) -> Sequence[Listed]:
        """List all objects."""
        return self._client.run(list_all("", Patience(_PATIENCE)))

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, those that are there."""
        if keys:
            self._client.run(ask([Delete(keys)], Patience(_PATIENCE)))

    def close(self) -> None:
        """Stop what the client has needed."""
        self._client.close()


def _failed(key: str, what: str, error: Exception) -> StorageError:
    return StorageError(
        f"{key} can't be {what} in the object store: {str(error).partition(chr(10))[0]}",
        hint="are the store, its credentials and the disk here well?",
    )


@contextmanager
def open_objects(url: str) -> Iterator[Objects]:
    """Open the objects below a prefix, `s3://bucket/prefix`; see `open_bucket`.

    Raises:
        InvalidConfigError: The URL is none of a bucket.
    """
    objects = Objects(open_bucket(url, request_timeout=_REQUEST))
    try:
        yield objects
    finally:
        objects.close()
