"""What is opened by a URL, and for the length of a block in both colours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode

from perdure.errors import InvalidConfigError


class Opened:
    """Opens by `open` and closes by `close`."""

    @classmethod
    @contextmanager
    def from_conn_string(cls, conn_string: str, **options: Any) -> Iterator[Self]:
        """Open for the length of a `with` block; see `open`."""
        opened = cls.open(conn_string, **options)  # type: ignore[attr-defined]  # each has options of its own
        try:
            yield opened
        finally:
            opened.close()


class AsyncOpened:
    """Opens by `open` and closes by `aclose`."""

    @classmethod
    @asynccontextmanager
    async def from_conn_string(cls, conn_string: str, **options: Any) -> AsyncIterator[Self]:
        """Open for the length of an `async with` block; see `open`."""
        opened = cls.open(conn_string, **options)  # type: ignore[attr-defined]  # each has options of its own
        try:
            yield opened
        finally:
            await opened.aclose()


def options_of(url: str, kinds: Mapping[str, Callable[[str], Any]]) -> tuple[str, dict[str, Any]]:
    """Take options out of a URL.

    Args:
        url: The URL.
        kinds: The options' names, and what makes a value of a text.

    Returns:
        The URL without them, and those that it has.

    Raises:
        InvalidConfigError: One has no such value.
    """
    address, _, query = url.partition("?")
    found: dict[str, Any] = {}
    rest: list[tuple[str, str]] = []
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in kinds:
            rest.append((name, text))
            continue
        try:
            found[name] = kinds[name](text)
        except ValueError as e:
            raise InvalidConfigError(f"the option {name} of a URL can't be {text!r}") from e
    return (f"{address}?{urlencode(rest)}" if rest else address), found
