"""Buckets by URL."""

from __future__ import annotations

import os
from typing import Any, Final

from obstore.store import S3Store

from perdure.database.objects.places import REQUEST, limits, parse_place

EXAMPLE: Final = "s3://bucket/prefix, or s3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=us-east-1"
CREDENTIALS: Final = "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, the region"

_KNOWN: Final = ("endpoint", "region", "virtual_hosted_style_request")


def open_bucket(url: str, *, request_timeout: float = REQUEST) -> S3Store:
    """Make the client of a bucket; nothing is sent yet.

    Args:
        url: `s3://bucket/prefix`, with `endpoint`, `region` and `virtual_hosted_style_request` as parameters. The
            environment may give these too (`AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, `AWS_REGION`), and alone gives
            credentials: `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, a web identity, a machine's role.
        request_timeout: Seconds that a request may take before it counts as lost.

    Raises:
        InvalidConfigError: The URL is none of a bucket.
    """
    bucket, prefix, options = parse_place(url, EXAMPLE, _KNOWN)
    if endpoint := os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"):
        options.setdefault("endpoint", endpoint)
    given: Any = limits(request_timeout, options.get("endpoint")) | options
    return S3Store(bucket, prefix=prefix, **given)
