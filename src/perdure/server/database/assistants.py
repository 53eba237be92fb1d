"""Operations on assistants: a graph with a config, in versions."""

from __future__ import annotations

from typing import Any

from perdure.database.operation import Op
from perdure.server.database import Statements, now
from perdure.server.database.orders import ASSISTANT, VERSION, Record, record
from perdure.server.database.visible import check_visible
from perdure.server.encoding import encode_text


def create(sql: Statements, given: Record) -> Op[Record | None]:
    """Add an assistant with its first version; None if there is one of that id."""
    moment = now()
    texts = [encode_text(given[name]) for name in ("config", "context", "metadata")]
    about = (given["graph_id"], given["name"], given["description"], *texts)
    [added] = yield [(sql["add_assistant"], (given["assistant_id"], *about, moment))]
    if not added:
        return None
    yield [(sql["add_assistant_version"], (given["assistant_id"], 1, *about, moment))]
    return {**given, "version": 1, "created_at": moment, "updated_at": moment}


def get(sql: Statements, assistant_id: str, filters: str | None = None) -> Op[Record | None]:
    """Return an assistant, None if there is none that the filters let be seen."""
    [rows] = yield [(sql["get_assistant"], (assistant_id, filters))]
    return record(ASSISTANT, rows[0]) if rows else None


def update(sql: Statements, assistant_id: str, changes: Record, filters: str | None) -> Op[Record | None]:
    """Make a new version of an assistant, which is then the latest; metadata is merged."""
    [rows] = yield [(sql["lock_assistant"], (assistant_id, filters))]
    if not rows:
        return None
    found = record(ASSISTANT, rows[0])
    [[(newest,)]] = yield [(sql["newest_version"], (assistant_id,))]
    merged = {**found["metadata"], **changes.pop("metadata", {})}
    new = {**found, **changes, "metadata": merged, "version": newest + 1, "updated_at": now()}
    texts = [encode_text(new[name]) for name in ("config", "context", "metadata")]
    yield from check_visible(sql, texts[-1], filters)
    about = (new["graph_id"], new["name"], new["description"], *texts, new["updated_at"])
    yield [
        (sql["add_assistant_version"], (assistant_id, new["version"], *about)),
        (sql["set_assistant"], (assistant_id, new["version"], *about)),
    ]
    return new


def set_latest(sql: Statements, assistant_id: str, version: int, filters: str | None) -> Op[Record | None]:
    """Make a version the latest; None if there is no such assistant or version."""
    [rows, versions] = yield [
        (sql["lock_assistant"], (assistant_id, filters)),
        (sql["get_version"], (assistant_id, version)),
    ]
    if not rows or not versions:
        return None
    new = {**record(ASSISTANT, rows[0]), **record(VERSION, versions[0]), "updated_at": now()}
    new["created_at"] = record(ASSISTANT, rows[0])["created_at"]
    texts = [encode_text(new[name]) for name in ("config", "context", "metadata")]
    yield from check_visible(sql, texts[-1], filters)
    about = (new["graph_id"], new["name"], new["description"], *texts, new["updated_at"])
    yield [(sql["set_assistant"], (assistant_id, version, *about))]
    return new


def versions(sql: Statements, assistant_id: str, metadata: str | None, limit: int, offset: int) -> Op[list[Record]]:
    """Return an assistant's versions, newest first."""
    [rows] = yield [(sql["list_versions"], (assistant_id, metadata, limit, offset))]
    return [record(VERSION, row) for row in rows]


def delete(sql: Statements, assistant_id: str, filters: str | None) -> Op[bool]:
    """Delete an assistant and its versions; tell whether there was one."""
    [rows] = yield [(sql["delete_assistant"], (assistant_id, filters))]
    if rows:
        yield [(sql["delete_versions"], (assistant_id,))]
    return bool(rows)


def threads_of(sql: Statements, assistant_id: str, filters: str | None) -> Op[list[str]]:
    """Return the threads that an assistant ran last."""
    [rows] = yield [(sql["threads_of_assistant"], (encode_text({"assistant_id": assistant_id}), filters))]
    return [thread_id for (thread_id,) in rows]


def search(sql: Statements, asked: Any, metadata: str | None, filters: str | None) -> Op[list[Record]]:
    """Return the assistants that are asked for."""
    statement = sql[f"search_assistants {asked.sort_by} {asked.sort_order}"]
    [rows] = yield [(statement, (metadata, filters, asked.graph_id, asked.name, asked.limit, asked.offset))]
    return [record(ASSISTANT, row) for row in rows]


def count(sql: Statements, asked: Any, metadata: str | None, filters: str | None) -> Op[int]:
    """Return how many assistants a search would find in all."""
    [[(found,)]] = yield [(sql["count_assistants"], (metadata, filters, asked.graph_id, asked.name))]
    return int(found)
