"""Savers by URL: what a configuration names, opened."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any, Final

from perdure.checkpoint.base import BaseCheckpointSaver
from perdure.errors import UsageError

__all__ = ["GROUP", "is_sqlite", "known_schemes", "open_saver", "sqlite_path"]

GROUP: Final = "perdure.savers"
"""The entry point group through which other distributions add schemes: name = scheme, value = a function of the URL and
keywords that returns a context manager of a saver."""

Opener = Callable[..., AbstractContextManager[BaseCheckpointSaver[Any]]]

_FILES = (".db", ".sqlite", ".sqlite3")


def _open_memory(url: str, **options: Any) -> AbstractContextManager[BaseCheckpointSaver[Any]]:
    from perdure.checkpoint.memory import InMemorySaver

    return InMemorySaver(**options)


def _open_sqlite(url: str, **options: Any) -> AbstractContextManager[BaseCheckpointSaver[Any]]:
    from perdure.checkpoint.sqlite import SqliteSaver

    return SqliteSaver.from_conn_string(sqlite_path(url), **options)


def sqlite_path(url: str) -> str:
    """Return the path of `sqlite:path`, `sqlite:///path` (relative) and `sqlite:////path` (absolute), or of a path."""
    if not url.startswith("sqlite:"):
        return url
    rest = url.partition(":")[2]
    if not rest.startswith("//"):
        return rest or ":memory:"
    host, slash, path = rest[2:].partition("/")
    if host:
        raise UsageError(
            f"{url!r} names a host, and SQLite has none",
            hint="sqlite:///relative/path or sqlite:////absolute/path",
        )
    return path if slash and path else ":memory:"


def is_sqlite(url: str) -> bool:
    """Tell whether a URL, or the path of a file, names an SQLite database."""
    scheme, colon, _ = url.partition(":")
    is_path = not colon or not scheme.isalnum() or len(scheme) == 1
    return scheme == "sqlite" or (is_path and url.endswith(_FILES))


_OPENERS: dict[str, Opener] = {"memory": _open_memory, "sqlite": _open_sqlite}

# Backends in rooms of their own: scheme -> module and extra. The module has the function `open_url`.
_ROOMS: dict[str, tuple[str, str]] = {
    "postgres": ("perdure.checkpoint.postgres", "postgres"),
    "postgresql": ("perdure.checkpoint.postgres", "postgres"),
    **dict.fromkeys(("redis", "rediss", "valkey", "valkeys"), ("perdure.checkpoint.redis", "redis")),
    "s3": ("perdure.checkpoint.s3", "s3"),
    "azure": ("perdure.checkpoint.azure", "azure"),
}


def open_saver(url: str, **options: Any) -> AbstractContextManager[BaseCheckpointSaver[Any]]:
    """Open the saver that a URL names.

    Args:
        url: `memory:`, `sqlite:path`, `sqlite:///path`, the path of a file that ends in `.db`, `.sqlite` or `.sqlite3`,
            `postgresql://user:password@host:port/database`, `redis://user:password@host:port/number` (`rediss:` with
            TLS; `valkey:` and `valkeys:` are the same), `s3://bucket/prefix`, `azure://container/prefix`, or a
            URL of a scheme that another distribution has added.
        options: Passed to the saver, such as `serde` or `synchronous`.

    Returns:
        A context manager; leaving it closes the saver.

    Raises:
        UsageError: No installed saver knows the scheme.
    """
    scheme = "sqlite" if is_sqlite(url) else url.partition(":")[0]
    opener = _OPENERS.get(scheme) or _added(scheme) or _in_room(scheme)
    if opener is None:
        raise UsageError(
            f"no saver is known for {url!r}",
            hint=f"known: {', '.join(f'{s}:' for s in known_schemes())} or a path that ends in {', '.join(_FILES)}",
        )
    return opener(url, **options)


def known_schemes() -> list[str]:
    """Return the schemes that `open_saver` knows."""
    return sorted({*_OPENERS, *_ROOMS, *(point.name for point in _points())})


def _points() -> Any:
    from importlib.metadata import entry_points

    return entry_points(group=GROUP)


def _added(scheme: str) -> Opener | None:
    for point in _points():
        if point.name == scheme:
            opener: Opener = point.load()
            return opener
    return None


def _in_room(scheme: str) -> Opener | None:
    if scheme not in _ROOMS:
        return None
    module, extra = _ROOMS[scheme]
    try:
        opener: Opener = import_module(module).open_url
    except ImportError as e:
        raise UsageError(f"the saver for {scheme}: is not installed", hint=f"pip install 'perdure[{extra}]'") from e
    return opener
