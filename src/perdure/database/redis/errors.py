"""One place that maps redis-py's errors, and tells which of them may be tried again."""

from __future__ import annotations

from perdure.errors import PerdureError, StorageError, TransientStorageError
from redis import exceptions as r

_AWAY = "does the server run, and can it be reached from here? the URL says where it is looked for"
_FULL = (
    "the server has reached its maxmemory; what was acknowledged is safe: raise the limit, or delete threads "
    "(`delete_thread` works on a full server), or keep fewer of them with `ttl`"
)
_WRITES = "the server can't write its own files (stop-writes-on-bgsave-error): look at its log, its disk may be full"

# The first that fits. A class may be a subclass of a later one.
_ERRORS: tuple[tuple[type[Exception], type[PerdureError], str | None], ...] = (
    (r.AuthenticationWrongNumberOfArgsError, StorageError, "the server has no users: leave the name out of the URL"),
    (r.AuthenticationError, StorageError, "check user and password of the URL"),
    (r.MovedError, StorageError, "the server is one of a cluster: RedisSaver(redis.RedisCluster.from_url(...))"),
    (r.NoPermissionError, StorageError, "grant the user the keys of the prefix, and @read, @write and @scripting"),
    (r.BusyLoadingError, TransientStorageError, "the server is still reading its files"),
    (
        r.ReadOnlyError,
        TransientStorageError,
        "the server is a replica, or is failing over: the URL must name a primary",
    ),
    (r.OutOfMemoryError, StorageError, _FULL),
    (r.MaxConnectionsError, TransientStorageError, "raise the server's maxclients, or lower `pool_size`"),
    (r.ConnectionError, TransientStorageError, _AWAY),
    (r.TimeoutError, TransientStorageError, "the server didn't answer in time"),
)

_BY_TEXT: tuple[tuple[str, type[PerdureError], str | None], ...] = (
    ("OOM ", StorageError, _FULL),
    ("-OOM ", StorageError, _FULL),
    ("READONLY", TransientStorageError, "the server is a replica, or is failing over: the URL must name a primary"),
    ("MISCONF", StorageError, _WRITES),
    ("NOREPLICAS", TransientStorageError, "fewer replicas are connected than min-replicas-to-write demands"),
    ("MASTERDOWN", TransientStorageError, "a replica that has lost its primary"),
    ("CLUSTERDOWN", TransientStorageError, "the cluster lacks a node"),
    ("CROSSSLOT", StorageError, "the keys of a thread share a hash tag: another program's client?"),
    ("BUSY", TransientStorageError, "another program's script keeps the server busy"),
    ("NOAUTH", StorageError, "the server wants a password: redis://:PASSWORD@host"),
    ("WRONGPASS", StorageError, "check user and password of the URL"),
    ("NOPERM", StorageError, "grant the user the keys of the prefix, and @read, @write and @scripting"),
    ("WRONGTYPE", StorageError, "another program uses keys of this prefix: give the saver a `prefix` of its own"),
)


def mapped(error: BaseException, where: str) -> BaseException:
    """Turn an error of redis-py into one of perdure's; return others as they are."""
    if not isinstance(error, r.RedisError):
        return error
    kind, hint = _of(error)
    return kind(f"Redis, {where}: {' '.join(str(error).split()) or type(error).__name__}", hint=hint)


def _of(error: r.RedisError) -> tuple[type[PerdureError], str | None]:
    text = str(error)
    for start, kind, hint in _BY_TEXT:
        if text.startswith(start):
            return kind, hint
    for cls, kind, hint in _ERRORS:
        if isinstance(error, cls):
            return kind, hint
    return StorageError, None


def may_be_retried(error: BaseException) -> bool:
    """Tell whether an operation that failed so may be run anew: every one is idempotent."""
    return isinstance(error, r.RedisError) and issubclass(_of(error)[0], TransientStorageError)
