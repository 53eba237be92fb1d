"""/openapi.json, made from the routes and the Structs of their bodies; and /docs, a page of it that loads nothing."""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from perdure import __version__
from perdure.server import answers
from perdure.server.answers import JSON
from perdure.server.openapi_queries import QUERIES
from perdure.server.routes import Endpoint

_ERRORS = {
    "400": "It can't be done as it is",
    "401": "Nobody knows who asks",
    "403": "Who asks may not do this",
    "404": "There is no such thing, or it isn't for who asks",
    "409": "It is there already, or in use",
    "413": "The request has too many bytes",
    "422": "The request doesn't say what it must, or not in the right form",
    "429": "The server has too many of these at once",
    "503": "The database can't be asked now",
}
_WORD = {"type": "string", "minLength": 1}
_UUID = {"type": "string", "format": "uuid"}
_IDS = frozenset({"thread_id", "run_id", "cron_id"})
_RPC = frozenset({"MCP", "A2A"})
"""Routes of JSON-RPC: what is wrong with a request is said in its form, what is wrong with HTTP as elsewhere."""
_ERROR = {
    "type": "object",
    "properties": {"detail": {"type": "string"}},
    "required": ["detail"],
}

_RPC_FAILURE = {"anyOf": [{"$ref": "#/components/schemas/Error"}, {"$ref": "#/components/schemas/Rpc"}]}
_DONE = {200: "Done", 202: "It will be done", 204: "Done, and there is nothing to say"}


def describe(endpoints: Sequence[Endpoint], auth: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the description of the routes, OpenAPI 3.1.

    Args:
        endpoints: The routes.
        auth: How clients say who they are: `securitySchemes` and `security`.
    """
    asked = [endpoint.body for endpoint in endpoints if endpoint.body is not None]
    told = [answer.form for endpoint in endpoints for answer in endpoint.answers if answer.form is not None]
    made, components = msgspec.json.schema_components([*asked, *told], ref_template="#/components/schemas/{name}")
    for name in vars(answers).keys() & components.keys():
        components[name]["additionalProperties"] = False  # a TypedDict has just what it says
    bodies, forms = iter(made), iter(made[len(asked) :])
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        body = None if endpoint.body is None else next(bodies)
        shown = [None if answer.form is None else next(forms) for answer in endpoint.answers]
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, body, shown)
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "perdure", "version": __version__},
        "paths": paths,
        "components": {"schemas": {**components, "Error": _ERROR, "RpcFailure": _RPC_FAILURE}},
    }
    if auth:
        described["components"] |= {"securitySchemes": auth.get("securitySchemes", {})}
        described["security"] = auth.get("security", [])
    return described


def _operation(endpoint: Endpoint, body: Any, forms: Sequence[Any]) -> dict[str, Any]:
    summary = (inspect.getdoc(endpoint.handler) or "").partition("\n")[0]
    name = f"{endpoint.handler.__module__.rpartition('.')[2]}_{endpoint.handler.__name__}"
    suffix = "_of" if "{namespace}" in endpoint.path else "_stateless" if endpoint.tag == "Stateless runs" else ""
    if endpoint.path.endswith("/"):
        suffix += "_slash"  # /mcp and /mcp/ are one
    operation: dict[str, Any] = {"summary": summary, "operationId": name + suffix, "tags": [endpoint.tag]}
    parameters: list[dict[str, Any]] = [
        {"name": found, "in": "path", "required": True, "schema": _UUID if found in _IDS else _WORD}
        for found in re.findall(r"\{(\w+)\}", endpoint.path)
    ]
    query = QUERIES.get((endpoint.method, endpoint.path), {})
    parameters += [{"name": name, "in": "query", "schema": schema} for name, schema in query.items()]
    if parameters:
        operation["parameters"] = parameters
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": body}}}
    error_form = "RpcFailure" if endpoint.tag in _RPC else "Error"
    error = {"content": {JSON: {"schema": {"$ref": f"#/components/schemas/{error_form}"}}}}
    errors = _ERRORS if not endpoint.is_open else {status: _ERRORS[status] for status in ("422", "503")}
    if endpoint.tag in _RPC:
        errors = {**errors, "405": "There are no sessions"}
    operation["responses"] = {}
    for answer, form in zip(endpoint.answers, forms, strict=True):
        told = operation["responses"].setdefault(str(answer.status), {"description": _DONE[answer.status]})
        if form is not None:
            told.setdefault("content", {})[answer.media] = {"schema": form}
    operation["responses"] |= {status: {"description": why, **error} for status, why in errors.items()}
    return operation


def page(endpoints: Sequence[Endpoint], prefix: str) -> str:
    """Return the routes as a page."""
    description = describe(endpoints)
    rows = []
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            shown = "" if body is None else f"<pre>{html.escape(_fields(body, description))}</pre>"
            rows.append(
                f"<details><summary><b>{method.upper()}</b> <code>{html.escape(path)}</code> "
                f"{html.escape(operation['summary'])}</summary>{shown}</details>"
            )
    return _PAGE.format(rows="\n".join(rows), prefix=html.escape(prefix))


def _fields(schema: Any, description: Any) -> str:
    ref = schema.get("$ref") or schema.get("items", {}).get("$ref", "")
    found = description["components"]["schemas"].get(ref.rpartition("/")[2], schema)
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode()


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>perdure: API</title>
<meta name="viewport" content="width=device-width">
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }}
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
details {{ border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent); padding: .4rem 0 }}
summary {{ cursor: pointer }} pre {{ overflow: auto; font-size: .85rem }}
b {{ display: inline-block; min-width: 4.5rem }}
</style></head><body><h1>perdure: API</h1>
<p>For programs: <a href="{prefix}/openapi.json">openapi.json</a></p>
{rows}
</body></html>
"""
