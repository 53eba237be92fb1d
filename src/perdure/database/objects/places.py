"""Places in buckets by URL, whatever the store: `scheme://bucket/prefix?parameter=value`."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from perdure.errors import InvalidConfigError

REQUEST: Final = 10.0
"""Seconds that a request may take before it counts as lost."""


class Place(NamedTuple):
    """A bucket, what lies in it below a prefix, and how to reach it."""

    bucket: str
    prefix: str | None
    options: dict[str, str]


def parse_place(url: str, example: str, known: Collection[str]) -> Place:
    """Read a URL.

    Args:
        url: The URL.
        example: URLs that are right, of the same scheme.
        known: The names of parameters.

    Raises:
        InvalidConfigError: It is none of a bucket.
    """
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    scheme = example.partition(":")[0]
    if parts.scheme != scheme or not parts.hostname or parts.port is not None or "@" in parts.netloc:
        raise InvalidConfigError(
            f"this is no URL of a bucket: {parts.scheme}://{parts.hostname or ''}{parts.path}",
            hint=f"{example}; credentials belong into the environment, not into the URL",
        )
    if unknown := set(options) - set(known):
        raise InvalidConfigError(f"no parameter of a bucket: {', '.join(sorted(unknown))}", hint=", ".join(known))
    return Place(parts.netloc, unquote(parts.path).strip("/") or None, options)


def limits(request_timeout: float, endpoint: str | None) -> dict[str, Any]:
    """Return what a client needs to know of time, and whether it may talk without TLS."""
    client: Any = {"timeout": timedelta(seconds=request_timeout), "connect_timeout": timedelta(seconds=5)}
    if endpoint is not None and endpoint.startswith("http:"):
        client["allow_http"] = True
    # Few and short: what they don't mend, `exchange` tries again, for as long as its caller allows.
    pauses = {"init_backoff": timedelta(milliseconds=50), "max_backoff": timedelta(milliseconds=500), "base": 2}
    retries: Any = {"max_retries": 2, "retry_timeout": timedelta(seconds=request_timeout), "backoff": pauses}
    return {"client_options": client, "retry_config": retries}
