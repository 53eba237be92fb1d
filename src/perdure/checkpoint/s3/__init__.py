"""A saver on an object store that speaks S3: nothing but a bucket, and any number of processes and machines.

See docs/s3.md for what it guarantees and what it costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from obstore.store import S3Store

from perdure.checkpoint.base import V
from perdure.checkpoint.buckets import BucketSaver
from perdure.database.s3.opening import CREDENTIALS, open_bucket
from perdure.database.s3.versions import Bucket

__all__ = ["S3Saver", "open_url"]


class S3Saver(BucketSaver[V, S3Store]):
    """Stores checkpoints in a bucket: `s3://bucket/prefix?endpoint=...&region=...`, see `open_bucket`.

    One object serves sync and async callers, any number of threads and event loops. A superstep is one conditional put,
    two if it changes more than some KB. A thread is one unit: what spans several (a `commit` of two threads) is
    refused, or done for each by itself (`prune`, `delete_for_runs`).
    """

    credentials = CREDENTIALS
    bucket_of = staticmethod(open_bucket)

    def _delete_old(self) -> int:
        return Bucket(self._store).delete_old()

    def _read_old(self) -> Iterator[tuple[str, bytes]]:
        return Bucket(self._store).read_old()


def open_url(url: str, **options: Any) -> Any:
    """Open the saver that a URL names; for `perdure.checkpoint.registry.open_saver`."""
    return S3Saver.from_conn_string(url, **options)
