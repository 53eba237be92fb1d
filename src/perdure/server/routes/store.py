"""The store: items that outlive threads."""

from __future__ import annotations

from typing import Any

from perdure.server import answers, schema
from perdure.server.errors import ForbiddenError, InvalidRequestError
from perdure.server.routes import Call, Endpoint, nothing
from perdure.store.base import PutOp

_LONGEST = 2000
"""Bytes of a namespace with a key: what fits into the index of every database."""


def _namespace(labels: list[str], key: str = "") -> tuple[str, ...]:
    for label in labels:
        if not label or "." in label:
            raise InvalidRequestError(f"a label of a namespace can't be empty or have a dot: {label!r}")
    if sum(len(text.encode()) + 2 for text in (*labels, key)) > _LONGEST:
        raise InvalidRequestError(f"a namespace and a key can't have more than {_LONGEST} bytes together")
    return tuple(labels)


async def _allowed(call: Call, action: str, value: dict[str, Any]) -> dict[str, Any]:
    """Ask; handlers may change the namespace, by which they keep tenants apart.

    Raises:
        ForbiddenError: The handler said by a filter what may be seen: items have no metadata to hold it against.
    """
    if await call.filters("store", action, value) is not None:
        raise ForbiddenError(
            "a filter can't say which items of the store may be seen", hint="@auth.on.store changes value['namespace']"
        )
    return value


def _shown(item: Any) -> dict[str, Any]:
    shown = {
        "namespace": list(item.namespace),
        "key": item.key,
        "value": item.value,
        "created_at": item.created_at,
        "updated_at": item.updated_at,
    }
    return {**shown, "score": item.score} if hasattr(item, "score") else shown


async def put(call: Call, body: schema.ItemPut) -> Any:
    """Keep an item."""
    value: dict[str, Any] = {
        "namespace": _namespace(body.namespace),
        "key": body.key,
        "value": body.value,
        "index": body.index,
    }
    if body.index is True:
        raise InvalidRequestError("index is false, or a list of fields")
    value = await _allowed(call, "put", value)
    options: dict[str, Any] = {"index": value["index"]}
    if body.ttl is not None:
        options["ttl"] = body.ttl
    await call.core.store.aput(
        _namespace(list(value["namespace"]), value["key"]), value["key"], value["value"], **options
    )
    return nothing()


async def get(call: Call) -> Any:
    """Return an item, or null."""
    key = call.request.query_params.get("key")
    if key is None:
        raise InvalidRequestError("which key?", hint="?key=...&namespace=a.b")
    labels = [label for text in call.request.query_params.getlist("namespace") for label in text.split(".") if label]
    value = await _allowed(call, "get", {"namespace": _namespace(labels), "key": key})
    refresh = call.flag("refresh_ttl") if "refresh_ttl" in call.request.query_params else None
    found = await call.core.store.aget(_namespace(list(value["namespace"])), value["key"], refresh_ttl=refresh)
    return None if found is None else _shown(found)


async def delete(call: Call, body: schema.ItemDelete) -> Any:
    """Delete an item."""
    value = await _allowed(call, "delete", {"namespace": _namespace(body.namespace or []), "key": body.key})
    await call.core.store.abatch([PutOp(_namespace(list(value["namespace"])), value["key"], None)])
    return nothing()


async def search(call: Call, body: schema.ItemSearch) -> Any:
    """Return items of a namespace and those below it."""
    value: dict[str, Any] = {
        "namespace": _namespace(body.namespace_prefix), "filter": body.filter, "limit": body.limit,
        "offset": body.offset, "query": body.query,
    }  # fmt: skip
    value = await _allowed(call, "search", value)
    options = {name: value[name] for name in ("filter", "limit", "offset", "query")}
    namespace = _namespace(list(value["namespace"]))
    items = await call.core.store.asearch(namespace, refresh_ttl=body.refresh_ttl, **options)
    return {"items": [_shown(item) for item in items]}


async def namespaces(call: Call, body: schema.NamespaceSearch) -> Any:
    """Return namespaces."""
    value: dict[str, Any] = {
        "namespace": _namespace(body.prefix or []), "suffix": body.suffix, "max_depth": body.max_depth,
        "limit": body.limit, "offset": body.offset,
    }  # fmt: skip
    value = await _allowed(call, "list_namespaces", value)
    found = await call.core.store.alist_namespaces(
        prefix=tuple(value["namespace"]) or None,
        suffix=tuple(value["suffix"] or ()) or None,
        max_depth=value["max_depth"],
        limit=value["limit"],
        offset=value["offset"],
    )
    return {"namespaces": [list(namespace) for namespace in found]}


ENDPOINTS = [
    Endpoint("PUT", "/store/items", put, schema.ItemPut, "Store", answers=answers.NOTHING),
    Endpoint("GET", "/store/items", get, tag="Store", answers=answers.ok(answers.Item | None)),
    Endpoint("DELETE", "/store/items", delete, schema.ItemDelete, "Store", answers=answers.NOTHING),
    Endpoint("POST", "/store/items/search", search, schema.ItemSearch, "Store", answers=answers.ok(answers.Items)),
    Endpoint(
        "POST", "/store/namespaces", namespaces, schema.NamespaceSearch, "Store", answers=answers.ok(answers.Namespaces)
    ),
]
