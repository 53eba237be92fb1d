"""A saver on Azure Blob Storage: nothing but a container, and any number of processes and machines.

See docs/s3.md for what it guarantees and what it costs.
"""

from __future__ import annotations

from typing import Any

from obstore.store import AzureStore

from perdure.checkpoint.base import V
from perdure.checkpoint.buckets import BucketSaver
from perdure.database.azure.opening import CREDENTIALS, open_container

__all__ = ["AzureSaver", "open_url"]


class AzureSaver(BucketSaver[V, AzureStore]):
    """Stores checkpoints in a container: `azure://container/prefix?account=...`, see `open_container`.

    One object serves sync and async callers, any number of threads and event loops. A superstep is one conditional put,
    two if it changes more than some KB. A thread is one unit: what spans several (a `commit` of two threads) is
    refused, or done for each by itself (`prune`, `delete_for_runs`).
    """

    credentials = CREDENTIALS
    bucket_of = staticmethod(open_container)


def open_url(url: str, **options: Any) -> Any:
    """Open the saver that a URL names; for `perdure.checkpoint.registry.open_saver`."""
    return AzureSaver.from_conn_string(url, **options)
