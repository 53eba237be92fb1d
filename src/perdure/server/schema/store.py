"""What requests about the store say."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from perdure.server.schema.common import LARGEST, Body, Limit, Minutes, Offset


class ItemPut(Body):
    """An item to keep.

    Attributes:
        ttl: Minutes that it lives.
    """

    namespace: list[str]
    key: str
    value: dict[str, Any]
    index: bool | list[str] | None = None
    ttl: Minutes | None = None


class ItemDelete(Body, kw_only=True):
    """An item to delete."""

    namespace: list[str] | None = None
    key: str


class ItemSearch(Body):
    """Which items."""

    namespace_prefix: list[str]
    filter: dict[str, Any] | None = None
    limit: Limit = 10
    offset: Offset = 0
    query: str | None = None
    refresh_ttl: bool | None = None


class NamespaceSearch(Body):
    """Which namespaces."""

    prefix: list[str] | None = None
    suffix: list[str] | None = None
    max_depth: Annotated[int, Meta(ge=1, le=LARGEST)] | None = None
    limit: Limit = 100
    offset: Offset = 0
