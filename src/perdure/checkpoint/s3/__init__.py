"""A saver on an object store that speaks S3: nothing but a bucket, and any number of processes and machines.

See docs/s3.md for what it guarantees and what it costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from obstore.store import S3Store

from perdure.checkpoint.base import V
from perdure.checkpoint.objects import ObjectSaver
from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.database.objects.buckets import BucketClient
from perdure.database.opening import Opened
from perdure.database.s3.opening import CREDENTIALS, open_bucket
from perdure.database.s3.versions import Bucket

__all__ = ["S3Saver", "open_url"]


class S3Saver(Opened, ObjectSaver[V]):
    """Stores checkpoints in a bucket.

    One object serves sync and async callers, any number of threads and event loops; not the children of a fork. A
    superstep is one conditional put, two if it changes more than some KB. A thread is one unit: what spans several (a
    `commit` of two threads) is refused, or done for each by itself (`prune`, `delete_for_runs`).

    Args:
        store: The bucket. `from_conn_string` is the usual way instead.
        serde: Turns values into bytes.
        retry_for: Seconds to go on trying when the store is away or slows down, or others write to the same thread.
    """

    def __init__(self, store: S3Store, *, serde: SerializerProtocol | None = None, retry_for: float = 30.0) -> None:
        super().__init__(BucketClient(store, CREDENTIALS), serde=serde, retry_for=retry_for)
        self._store = store

    @classmethod
    def open(
        cls,
        conn_string: str,
        *,
        serde: SerializerProtocol | None = None,
        retry_for: float = 30.0,
        request_timeout: float = 10.0,
    ) -> Self:
        """Open a bucket; the caller closes the saver, by `close()` or a `with` block.

        Args:
            conn_string: `s3://bucket/prefix?endpoint=...&region=...`, see `perdure.database.s3.opening.open_bucket`.
            serde: Turns values into bytes.
            retry_for: Seconds to go on trying when the store is away.
            request_timeout: Seconds after which a request counts as lost.

        Raises:
            InvalidConfigError: It is no URL of a bucket.
        """
        return cls(open_bucket(conn_string, request_timeout=request_timeout), serde=serde, retry_for=retry_for)

    def _delete_old(self) -> int:
        return Bucket(self._store).delete_old()

    def _read_old(self) -> Iterator[tuple[str, bytes]]:
        return Bucket(self._store).read_old()


def open_url(url: str, **options: Any) -> Any:
    """Open the saver that a URL names; for `perdure.checkpoint.registry.open_saver`."""
    return S3Saver.from_conn_string(url, **options)
