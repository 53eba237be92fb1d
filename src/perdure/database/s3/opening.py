"""Buckets by URL."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from obstore.store import S3Store

from perdure.errors import InvalidConfigError

EXAMPLE: Final = "s3://bucket/prefix, or s3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=us-east-1"

_KNOWN: Final = ("endpoint", "region", "virtual_hosted_style_request")
_REQUEST: Final = 10.0
"""Seconds that a request may take before it counts as lost."""


def open_bucket(url: str, *, request_timeout: float = _REQUEST) -> S3Store:
    """Make the client of a bucket; nothing is sent yet.

    Args:
        url: `s3://bucket/prefix`, with `endpoint`, `region` and `virtual_hosted_style_request` as parameters. The
            environment may give these too (`AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, `AWS_REGION`), and alone gives
            credentials: `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, a web identity, a machine's role.
        request_timeout: Seconds that a request may take before it counts as lost.

    Raises:
        InvalidConfigError: The URL is none of a bucket.
    """
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.scheme != "s3" or not parts.hostname or parts.port is not None or "@" in parts.netloc:
        raise InvalidConfigError(
            f"this is no URL of a bucket: {parts.scheme}://{parts.hostname or ''}{parts.path}",
            hint=f"{EXAMPLE}; credentials belong into the environment, not into the URL",
        )
    if unknown := set(options) - set(_KNOWN):
        raise InvalidConfigError(f"no parameter of a bucket: {', '.join(sorted(unknown))}", hint=", ".join(_KNOWN))
    prefix = unquote(parts.path).strip("/")
    limits: Any = {"timeout": timedelta(seconds=request_timeout), "connect_timeout": timedelta(seconds=5)}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        options.setdefault("endpoint", endpoint)
    if options.get("endpoint", "").startswith("http:"):
        limits["allow_http"] = True
    # Few and short: what they don't mend, `exchange` tries again, for as long as its caller allows.
    pauses = {"init_backoff": timedelta(milliseconds=50), "max_backoff": timedelta(milliseconds=500), "base": 2}
    retries: Any = {"max_retries": 2, "retry_timeout": timedelta(seconds=request_timeout), "backoff": pauses}
    return S3Store(
        parts.netloc,
        prefix=prefix or None,
        client_options=limits,
        retry_config=retries,
        **options,  # type: ignore[arg-type]  # of `_KNOWN`, as text
    )
