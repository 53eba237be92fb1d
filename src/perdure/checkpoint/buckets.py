"""A saver in the buckets of a cloud's provider, and of servers that speak its protocol; a backend says whose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, Self, TypeVar

from obstore.store import ObjectStore

from perdure.checkpoint.base import V
from perdure.checkpoint.objects import ObjectSaver
from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.database.objects.buckets import BucketClient
from perdure.database.objects.places import REQUEST
from perdure.database.opening import Opened

S = TypeVar("S", bound=ObjectStore)


class BucketSaver(Opened, ObjectSaver[V], Generic[V, S]):
    """Stores checkpoints in a bucket; not usable in the children of a fork.

    Args:
        store: The bucket, as obstore has it. `from_conn_string` is the usual way instead.
        serde: Turns values into bytes.
        retry_for: Seconds to go on trying when the store is away or slows down, or others write to the same thread.
    """

    credentials: ClassVar[str]
    """Where the credentials of the provider come from, for hints."""
    bucket_of: ClassVar[Callable[..., Any]]
    """Makes a bucket of a URL and a `request_timeout`."""

    def __init__(self, store: S, *, serde: SerializerProtocol | None = None, retry_for: float = 30.0) -> None:
        super().__init__(BucketClient(store, self.credentials), serde=serde, retry_for=retry_for)
        self._store = store

    @classmethod
    def open(
        cls,
        conn_string: str,
        *,
        serde: SerializerProtocol | None = None,
        retry_for: float = 30.0,
        request_timeout: float = REQUEST,
    ) -> Self:
        """Open a bucket; the caller closes the saver, by `close()` or a `with` block.

        Args:
            conn_string: Its URL, and what lies below a prefix: see the class.
            serde: Turns values into bytes.
            retry_for: Seconds to go on trying when the store is away.
            request_timeout: Seconds after which a request counts as lost.

        Raises:
            InvalidConfigError: It is no URL of a bucket of this provider.
        """
        return cls(cls.bucket_of(conn_string, request_timeout=request_timeout), serde=serde, retry_for=retry_for)
