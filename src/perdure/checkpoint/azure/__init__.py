"""A saver on Azure Blob Storage: nothing but a container, and any number of processes and machines.

See docs/s3.md for what it guarantees and what it costs.
"""

from __future__ import annotations

from typing import Any, Self

from obstore.store import AzureStore

from perdure.checkpoint.base import V
from perdure.checkpoint.objects import ObjectSaver
from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.database.azure.opening import CREDENTIALS, open_container
from perdure.database.objects.buckets import BucketClient
from perdure.database.opening import Opened

__all__ = ["AzureSaver", "open_url"]


class AzureSaver(Opened, ObjectSaver[V]):
    """Stores checkpoints in a container.

    One object serves sync and async callers, any number of threads and event loops; not the children of a fork. A
    superstep is one conditional put, two if it changes more than some KB. A thread is one unit: what spans several (a
    `commit` of two threads) is refused, or done for each by itself (`prune`, `delete_for_runs`).

    Args:
        store: The container. `from_conn_string` is the usual way instead.
        serde: Turns values into bytes.
        retry_for: Seconds to go on trying when the store is away or slows down, or others write to the same thread.
    """

    def __init__(self, store: AzureStore, *, serde: SerializerProtocol | None = None, retry_for: float = 30.0) -> None:
        super().__init__(BucketClient(store, CREDENTIALS), serde=serde, retry_for=retry_for)

    @classmethod
    def open(
        cls,
        conn_string: str,
        *,
        serde: SerializerProtocol | None = None,
        retry_for: float = 30.0,
        request_timeout: float = 10.0,
    ) -> Self:
        """Open a container; the caller closes the saver, by `close()` or a `with` block.

        Args:
            conn_string: `azure://container/prefix?account=...`, see `perdure.database.azure.opening.open_container`.
            serde: Turns values into bytes.
            retry_for: Seconds to go on trying when the store is away.
            request_timeout: Seconds after which a request counts as lost.

        Raises:
            InvalidConfigError: It is no URL of a container.
        """
        return cls(open_container(conn_string, request_timeout=request_timeout), serde=serde, retry_for=retry_for)


def open_url(url: str, **options: Any) -> Any:
    """Open the saver that a URL names; for `perdure.checkpoint.registry.open_saver`."""
    return AzureSaver.from_conn_string(url, **options)
