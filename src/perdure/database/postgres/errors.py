"""One place that maps psycopg's errors, and tells which of them may be tried again."""

from __future__ import annotations

from psycopg import Error, InterfaceError, OperationalError

from perdure.errors import PerdureError, StorageError, TransientStorageError, UsageError

_SETUP = "the tables are missing: call `setup()` once, with a role that may create them, or check the `schema` option"
_RIGHTS = (
    "grant the role SELECT, INSERT, UPDATE and DELETE on the tables; `setup()` needs CREATE only if it has to migrate"
)
_AWAY = "the server is restarting, or ended the connection"

_POOLED = "does a pooler in transaction mode stand between? Then nothing can be prepared: `prepare_threshold=None`"

# By SQLSTATE, or its class of two characters (postgresql.org/docs/current/errcodes-appendix.html): class and hint.
_ERRORS: dict[str, tuple[type[PerdureError], str | None]] = {
    "08": (TransientStorageError, _AWAY),
    "22021": (UsageError, "lone surrogates and bytes that aren't Unicode can't be ids"),
    "25006": (TransientStorageError, "the server is read-only: a standby, or one that is failing over?"),
    "26000": (StorageError, _POOLED),
    "28": (StorageError, "check user and password of the URL, and the server's pg_hba.conf"),
    "3D000": (StorageError, "create the database, or check the name at the URL's end"),
    "3F000": (StorageError, _SETUP),
    "40": (TransientStorageError, "another transaction was in the way"),
    "42501": (StorageError, _RIGHTS),
    "42P05": (StorageError, _POOLED),
    "42P01": (StorageError, _SETUP),
    "42703": (StorageError, "the tables were changed by another program"),
    "53100": (StorageError, "the server's disk is full; what was acknowledged is safe"),
    "53300": (TransientStorageError, "raise the server's max_connections, lower `pool_size`, or put a pooler between"),
    "53": (TransientStorageError, "the server is out of resources"),
    "54000": (UsageError, "thread ids and namespaces may have about 2,600 bytes, a stored value 1 GB"),
    "55P03": (TransientStorageError, "another transaction holds a lock"),
    "57014": (TransientStorageError, "the statement was cancelled, or took longer than the server's statement_timeout"),
    "57P": (TransientStorageError, _AWAY),
}

_RETRIED = frozenset({"08", "25006", "40", "53300", "57P"})


def mapped(error: BaseException, where: str) -> BaseException:
    """Turn an error of psycopg into one of perdure's, with the original as its cause; return others as they are."""
    found = _mapped(error, where)
    if found is not error:
        found.__cause__ = error
    return found


def _mapped(error: BaseException, where: str) -> BaseException:
    if isinstance(error, UnicodeEncodeError):
        return UsageError(f"a text is not valid Unicode: {error}", hint="lone surrogates can't be ids")
    if not isinstance(error, Error):
        return error
    kind, hint = _of(error)
    return kind(f"Postgres, {where}: {_text(error)}", hint=hint, sqlstate=error.sqlstate)


def _text(error: Error) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _of(error: Error) -> tuple[type[PerdureError], str | None]:
    code = error.sqlstate
    if code is None:
        return _without_code(error)
    for key in (code, code[:3], code[:2]):
        if key in _ERRORS:
            return _ERRORS[key]
    return StorageError, None


def _without_code(error: Error) -> tuple[type[PerdureError], str | None]:
    if not isinstance(error, (OperationalError, InterfaceError)):
        return StorageError, None
    if is_refusal(error):
        return StorageError, "the server answered, and refused: check user, password and database of the URL"
    return (
        TransientStorageError,
        "does the server run, and can it be reached from here? the URL says where it is looked for",
    )


def is_refusal(error: BaseException) -> bool:
    """Tell whether a server refused a connection for good. libpq hands its answer on as a text only."""
    text = str(error)
    return "FATAL:" in text and not any(word in text for word in _PASSING)


_PASSING = (
    *("starting up", "shutting down", "too many", "recovery", "remaining connection slots", "terminating"),
    # PgBouncer, whose server is away, or who has no place for another client.
    *("query_wait_timeout", "server login has been failing", "cannot connect to server", "no more connections"),
)


def may_be_retried(error: BaseException) -> bool:
    """Tell whether an operation that failed so may be run anew: every one is idempotent."""
    if isinstance(error, PerdureError):
        error = error.__cause__ or error
    if not isinstance(error, Error):
        return False
    code = error.sqlstate
    if code is None:
        return isinstance(error, (OperationalError, InterfaceError)) and not is_refusal(error)
    return any(key in _RETRIED for key in (code, code[:3], code[:2]))
