"""Containers by URL."""

from __future__ import annotations

import os
from typing import Any, Final

from obstore.store import AzureStore

from perdure.database.objects.places import REQUEST, limits, parse_place

EXAMPLE: Final = "azure://container/prefix, or azure://container/prefix?account=me&endpoint=http://127.0.0.1:10000/me"
CREDENTIALS: Final = "AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY"

_KNOWN: Final = {"account": "account_name", "endpoint": "endpoint"}


def open_container(url: str, *, request_timeout: float = REQUEST) -> AzureStore:
    """Make the client of a container; nothing is sent yet.

    Args:
        url: `azure://container/prefix`, with `account` and `endpoint` as parameters. The environment may give these too
            (`AZURE_STORAGE_ACCOUNT_NAME`, `AZURE_STORAGE_ENDPOINT`), and alone gives credentials:
            `AZURE_STORAGE_ACCOUNT_KEY`, `AZURE_STORAGE_SAS_TOKEN`, an application's id and secret, a machine's
            identity.
        request_timeout: Seconds that a request may take before it counts as lost.

    Raises:
        InvalidConfigError: The URL is none of a container.
    """
    container, prefix, options = parse_place(url, EXAMPLE, _KNOWN)
    endpoint = options.get("endpoint") or os.environ.get("AZURE_STORAGE_ENDPOINT")
    given: Any = limits(request_timeout, endpoint) | {_KNOWN[name]: value for name, value in options.items()}
    return AzureStore(container, prefix=prefix, **given)
