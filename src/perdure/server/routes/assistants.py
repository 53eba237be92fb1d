"""Assistants: a graph with a config, in versions."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from perdure.errors import UsageError
from perdure.server import answers, schema
from perdure.server.database import assistants
from perdure.server.encoding import encode_text
from perdure.server.errors import InvalidRequestError, NotFoundError, TakenError
from perdure.server.graphs import assistant_of
from perdure.server.responses import Json
from perdure.server.routes import Call, Endpoint, found_or_404, nothing, page
from perdure.server.routes.runs import OWN
from perdure.server.shapes import selected, shown_assistant
from perdure.server.states import check_free, delete_thread

_DEPTH = re.compile(r"[0-9]{1,9}")


def _config(given: schema.Config | None) -> dict[str, Any]:
    return {} if given is None else {k: v for k, v in msgspec.to_builtins(given).items() if v is not None}


def _with_context(config: dict[str, Any], context: dict[str, Any] | None) -> dict[str, Any]:
    """Return the context; parameters of the config are shown there too, as they were called before."""
    return dict(config.get("configurable") or {}) if context is None else context


def _check_maker(metadata: dict[str, Any]) -> None:
    """Refuse what would make an assistant everybody's."""
    if metadata.items() >= OWN.items():
        raise InvalidRequestError("metadata.created_by can't be 'system': that is the server's own")


async def create(call: Call, body: schema.AssistantCreate) -> Any:
    """Make an assistant."""
    if not call.core.graphs.known(body.graph_id):
        raise NotFoundError(f"there is no graph {body.graph_id!r}", hint=", ".join(call.core.graphs.names))
    config = _config(body.config)
    given: dict[str, Any] = {
        "assistant_id": body.assistant_id or str(uuid.uuid4()),
        "graph_id": body.graph_id,
        "config": config,
        "context": _with_context(config, body.context),
        "metadata": dict(body.metadata or {}),
        "name": body.name or "Untitled",
        "description": body.description,
    }
    filters = await call.filters("assistants", "create", given)
    _check_maker(given["metadata"])
    made = await call.core.database.write(assistants.create, given)
    if made is None:
        if body.if_exists == "raise":
            raise TakenError(f"there is an assistant {given['assistant_id']} already")
        made = await call.core.database.read(assistants.get, given["assistant_id"], filters)
    return shown_assistant(found_or_404(made, f"assistant {given['assistant_id']}"))


async def _read(call: Call) -> dict[str, Any]:
    """Return the assistant of the path, if the caller may see it; a graph's name means the graph's own."""
    name = call.path("assistant_id")
    assistant_id = assistant_of(name) if call.core.graphs.known(name) else call.id("assistant_id")
    filters = await call.filters("assistants", "read", {"assistant_id": assistant_id})
    found = await call.core.database.read(assistants.get, assistant_id, filters)
    return dict(found_or_404(found, f"assistant {assistant_id}"))


async def get(call: Call) -> Any:
    """Return an assistant."""
    return shown_assistant(await _read(call))


async def patch(call: Call, body: schema.AssistantPatch) -> Any:
    """Make a new version of an assistant; metadata is merged."""
    if body.graph_id is not None and not call.core.graphs.known(body.graph_id):
        raise NotFoundError(f"there is no graph {body.graph_id!r}", hint=", ".join(call.core.graphs.names))
    assistant_id = call.id("assistant_id")
    changes: dict[str, Any] = {
        name: value
        for name in ("graph_id", "name", "description", "metadata", "context")
        if (value := getattr(body, name)) is not None
    }
    if body.config is not None:
        changes["config"] = _config(body.config)
        if body.context is None:
            changes["context"] = _with_context(changes["config"], None)
    value = {"assistant_id": assistant_id, **changes}
    filters = await call.filters("assistants", "update", value)
    if "metadata" in value:
        changes["metadata"] = value["metadata"]
        _check_maker(changes["metadata"])
    found = await call.core.database.write(assistants.update, assistant_id, changes, filters)
    return shown_assistant(found_or_404(found, f"assistant {assistant_id}"))


async def delete(call: Call) -> Any:
    """Delete an assistant; with `delete_threads=true`, the threads that it ran last too."""
    assistant_id = call.id("assistant_id")
    filters = await call.filters("assistants", "delete", {"assistant_id": assistant_id})
    threads: list[str] = []
    mine: str | None = None
    if call.flag("delete_threads"):
        mine = await call.filters("threads", "delete", {"assistant_id": assistant_id})
        threads = await call.core.database.read(assistants.threads_of, assistant_id, mine)
        await check_free(call.core, threads, mine)
    found_or_404(await call.core.database.write(assistants.delete, assistant_id, filters), f"assistant {assistant_id}")
    for thread_id in threads:
        await delete_thread(call.core, thread_id, mine)
    return nothing()


async def search(call: Call, body: schema.AssistantSearch) -> Any:
    """Return assistants."""
    value = {"metadata": body.metadata or {}, "graph_id": body.graph_id, "limit": body.limit, "offset": body.offset}
    filters = await call.filters("assistants", "search", value)
    limit = body.limit
    body.limit += 1
    metadata = encode_text(value["metadata"]) if value["metadata"] else None
    rows, headers = page(
        call, await call.core.database.read(assistants.search, body, metadata, filters), limit, body.offset
    )
    return Json([selected(shown_assistant(row), body.select) for row in rows], headers=headers)


async def count(call: Call, body: schema.AssistantCount) -> Any:
    """Return how many assistants there are."""
    value = {"metadata": body.metadata or {}, "graph_id": body.graph_id}
    filters = await call.filters("assistants", "search", value)
    metadata = encode_text(value["metadata"]) if value["metadata"] else None
    return await call.core.database.read(assistants.count, body, metadata, filters)


async def versions(call: Call, body: schema.VersionSearch) -> Any:
    """Return an assistant's versions, newest first."""
    found = await _read(call)
    metadata = encode_text(body.metadata) if body.metadata else None
    place = (found["assistant_id"], metadata, body.limit, body.offset)
    return [shown_assistant(row) for row in await call.core.database.read(assistants.versions, *place)]


async def set_latest(call: Call, body: schema.LatestVersion) -> Any:
    """Make a version the latest."""
    assistant_id = call.id("assistant_id")
    filters = await call.filters("assistants", "update", {"assistant_id": assistant_id, "version": body.version})
    found = await call.core.database.write(assistants.set_latest, assistant_id, body.version, filters)
    return shown_assistant(found_or_404(found, f"version {body.version} of assistant {assistant_id}"))


# -- what its graph is


async def graph(call: Call) -> Any:
    """Return the drawing of an assistant's graph."""
    found = await _read(call)
    text = call.request.query_params.get("xray", "false").lower()
    is_depth = _DEPTH.fullmatch(text) and text not in {"0", "1"}
    xray: int | bool = int(text) if is_depth else text in {"1", "true"}
    async with call.core.graphs.open(found["graph_id"], found["config"]) as opened:
        drawing = opened.get_graph(xray=xray)
    return drawn(drawing)


def drawn(drawing: Any) -> dict[str, Any]:
    """Return a drawing of either package as clients read it."""
    from perdure.constants import END, START

    nodes = []
    for node in drawing.nodes.values():
        is_end = node.id in (START, END)
        shown: dict[str, Any] = {"id": node.id, "type": "schema" if is_end else "runnable"}
        shown["data"] = node.id if is_end else {"id": ["perdure", "node", node.name], "name": node.name}
        metadata = getattr(node, "metadata", None)
        nodes.append({**shown, "metadata": metadata} if metadata else shown)
    edges = []
    for edge in drawing.edges:
        line: dict[str, Any] = {"source": edge.source, "target": edge.target}
        if edge.data is not None:
            line["data"] = edge.data
        edges.append({**line, "conditional": True} if edge.conditional else line)
    return {"nodes": nodes, "edges": edges}


async def schemas(call: Call) -> Any:
    """Return the JSON schemas of an assistant's graph."""
    found = await _read(call)
    async with call.core.graphs.open(found["graph_id"], found["config"]) as opened:
        return {"graph_id": found["graph_id"], **schemas_of(opened)}


def schemas_of(opened: Any) -> dict[str, Any]:
    """Return what a graph takes and gives; None where that can't be said in JSON schema."""
    return {
        "input_schema": _schema(opened, "get_input_jsonschema"),
        "output_schema": _schema(opened, "get_output_jsonschema"),
        "state_schema": _made(lambda: _state_schema(opened)),
        "config_schema": _schema(opened, "get_config_jsonschema"),
        "context_schema": _schema(opened, "get_context_jsonschema"),
    }


def _state_schema(opened: Any) -> Any:
    builder = opened.builder
    kind = getattr(builder, "state_schema", None) or builder.schema
    from perdure.graph.schema import json_schema

    return json_schema(kind, f"{opened.name}State")


def _schema(opened: Any, name: str) -> Any:
    return _made(getattr(opened, name)) if hasattr(opened, name) else None


def _made(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except (AttributeError, UsageError, TypeError, ValueError, KeyError):
        return None  # what its types are, JSON schema has no words for
    except Exception as e:
        if type(e).__module__.startswith("pydantic"):
            return None
        raise


async def subgraphs(call: Call) -> Any:
    """Return the schemas of the graphs that are nodes of an assistant's graph."""
    found = await _read(call)
    namespace = call.request.path_params.get("namespace")
    async with call.core.graphs.open(found["graph_id"], found["config"]) as opened:
        inner: Iterator[tuple[str, Any]] = opened.get_subgraphs(namespace=namespace, recurse=call.flag("recurse"))
        return {name: schemas_of(one) for name, one in inner}


ENDPOINTS = [
    Endpoint(
        "POST", "/assistants", create, schema.AssistantCreate, "Assistants", answers=answers.ok(answers.Assistant)
    ),
    Endpoint(
        "POST",
        "/assistants/search",
        search,
        schema.AssistantSearch,
        "Assistants",
        answers=answers.ok(list[answers.SomeAssistant]),
    ),
    Endpoint("POST", "/assistants/count", count, schema.AssistantCount, "Assistants", answers=answers.ok(int)),
    Endpoint("GET", "/assistants/{assistant_id}", get, tag="Assistants", answers=answers.ok(answers.Assistant)),
    Endpoint(
        "PATCH",
        "/assistants/{assistant_id}",
        patch,
        schema.AssistantPatch,
        "Assistants",
        answers=answers.ok(answers.Assistant),
    ),
    Endpoint("DELETE", "/assistants/{assistant_id}", delete, tag="Assistants", answers=answers.NOTHING),
    Endpoint("GET", "/assistants/{assistant_id}/graph", graph, tag="Assistants", answers=answers.ok(answers.Drawing)),
    Endpoint(
        "GET", "/assistants/{assistant_id}/schemas", schemas, tag="Assistants", answers=answers.ok(answers.Schemas)
    ),
    Endpoint(
        "GET",
        "/assistants/{assistant_id}/subgraphs",
        subgraphs,
        tag="Assistants",
        answers=answers.ok(dict[str, answers.InnerSchemas]),
    ),
    Endpoint(
        "GET",
        "/assistants/{assistant_id}/subgraphs/{namespace}",
        subgraphs,
        tag="Assistants",
        answers=answers.ok(dict[str, answers.InnerSchemas]),
    ),
    Endpoint(
        "POST",
        "/assistants/{assistant_id}/versions",
        versions,
        schema.VersionSearch,
        "Assistants",
        answers=answers.ok(list[answers.Assistant]),
    ),
    Endpoint(
        "POST",
        "/assistants/{assistant_id}/latest",
        set_latest,
        schema.LatestVersion,
        "Assistants",
        answers=answers.ok(answers.Assistant),
    ),
]
