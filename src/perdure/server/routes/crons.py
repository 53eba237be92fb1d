"""Crons: runs that come again and again."""

from __future__ import annotations

import uuid
from datetime import UTC
from typing import Any

import msgspec
from msgspec import UNSET

from perdure.errors import UsageError
from perdure.server import answers, schema
from perdure.server.database import crons, now, threads
from perdure.server.errors import InvalidRequestError
from perdure.server.responses import Json
from perdure.server.routes import Call, Endpoint, found_or_404, nothing, page
from perdure.server.routes.runs import readable_assistant
from perdure.server.scheduler import next_time
from perdure.server.shapes import selected, shown_cron

_OWN = frozenset({"schedule", "timezone", "end_time", "enabled", "on_run_completed", "assistant_id", "metadata"})
_LAST = 253402300799.0  # the end of the year 9999
_PAYLOAD = tuple(f.name for f in msgspec.structs.fields(schema.CronCreate) if f.name not in _OWN)


def _next(schedule: str, timezone: str | None, end: float | None) -> float | None:
    try:
        return next_time(schedule, timezone, now(), end)
    except UsageError as e:
        raise InvalidRequestError(str(e)) from e


def _seconds(moment: Any) -> float | None:
    if moment is None:
        return None
    seconds = float((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    if not 0 <= seconds <= _LAST:
        raise InvalidRequestError("end_time must be between the years 1970 and 9999")
    return seconds


def _payload(body: Any, before: dict[str, Any]) -> dict[str, Any]:
    """Return what a cron's runs are made with."""
    given = {}
    for name in _PAYLOAD:
        value = getattr(body, name, None)
        if value is not None and value is not UNSET:
            given[name] = msgspec.to_builtins(value)
    if "config" in given:
        given["config"] = {k: v for k, v in given["config"].items() if v is not None}
    return {**before, **given}


async def _create(call: Call, body: schema.CronCreate, thread_id: str | None) -> Any:
    assistant = await readable_assistant(call, body.assistant_id)
    end = _seconds(body.end_time)
    following = _next(body.schedule, body.timezone, end)
    value = {"metadata": dict(body.metadata or {}), "thread_id": thread_id, "schedule": body.schedule}
    value["cron_id"] = str(uuid.uuid4())
    await call.filters("crons", "create", value)
    call.core.webhooks.policy.check(body.webhook)
    moment = now()
    row = {
        "cron_id": value["cron_id"],
        "assistant_id": assistant["assistant_id"],
        "thread_id": thread_id,
        "schedule": body.schedule,
        "timezone": body.timezone,
        "end_time": end,
        "enabled": body.enabled,
        "on_run_completed": None if thread_id is not None else body.on_run_completed or "delete",
        "payload": _payload(body, {}),
        "metadata": value["metadata"],
        "user_id": None if call.user is None else str(call.user["identity"]),
        "next_run_at": following,
        "created_at": moment,
        "updated_at": moment,
        "caller": call.caller,
    }
    await call.core.database.once(crons.create, row)
    return shown_cron(row)


async def create(call: Call, body: schema.CronCreate) -> Any:
    """Make a cron whose runs have threads of their own."""
    return await _create(call, body, None)


async def create_for_thread(call: Call, body: schema.CronCreate) -> Any:
    """Make a cron whose runs are a thread's."""
    thread_id = call.id("thread_id")
    value = {"thread_id": thread_id, "assistant_id": body.assistant_id, "metadata": dict(body.metadata or {})}
    filters = await call.filters("threads", "create_run", value)
    found_or_404(await call.core.database.read(threads.get, thread_id, filters), f"thread {thread_id}")
    return await _create(call, body, thread_id)


async def get(call: Call) -> Any:
    """Return a cron."""
    cron_id = call.id("cron_id")
    filters = await call.filters("crons", "read", {"cron_id": cron_id})
    return shown_cron(found_or_404(await call.core.database.read(crons.get, cron_id, filters), f"cron {cron_id}"))


async def patch(call: Call, body: schema.CronPatch) -> Any:
    """Change a cron."""
    cron_id = call.id("cron_id")
    value: dict[str, Any] = {"cron_id": cron_id, "metadata": body.metadata or {}}
    filters = await call.filters("crons", "update", value)
    found = found_or_404(await call.core.database.read(crons.get, cron_id, filters), f"cron {cron_id}")
    call.core.webhooks.policy.check(body.webhook)
    new = dict(found)
    for name in ("schedule", "timezone", "enabled", "on_run_completed"):
        if (given := getattr(body, name)) is not None:
            new[name] = given
    if body.end_time is not UNSET:
        new["end_time"] = _seconds(body.end_time)
    new["metadata"] = {**found["metadata"], **value["metadata"]}
    new["payload"] = _payload(body, found["payload"])
    new["next_run_at"] = _next(new["schedule"], new["timezone"], new["end_time"])
    new["updated_at"] = now()
    await call.core.database.write(crons.update, new, filters)
    return shown_cron(new)


async def delete(call: Call) -> Any:
    """Delete a cron; its runs stay."""
    cron_id = call.id("cron_id")
    filters = await call.filters("crons", "delete", {"cron_id": cron_id})
    found_or_404(await call.core.database.once(crons.delete, cron_id, filters), f"cron {cron_id}")
    return nothing()


async def search(call: Call, body: schema.CronSearch) -> Any:
    """Return crons."""
    value = {"metadata": body.metadata or {}}
    filters = await call.filters("crons", "search", value)
    body.metadata = value["metadata"]
    limit = body.limit
    body.limit += 1
    rows, headers = page(call, await call.core.database.read(crons.search, body, filters), limit, body.offset)
    return Json([selected(shown_cron(row), body.select) for row in rows], headers=headers)


async def count(call: Call, body: schema.CronCount) -> Any:
    """Return how many crons there are."""
    value = {"metadata": body.metadata or {}}
    filters = await call.filters("crons", "search", value)
    body.metadata = value["metadata"]
    return await call.core.database.read(crons.count, body, filters)


ENDPOINTS = [
    Endpoint("POST", "/runs/crons", create, schema.CronCreate, "Crons", answers=answers.ok(answers.Cron)),
    Endpoint(
        "POST",
        "/threads/{thread_id}/runs/crons",
        create_for_thread,
        schema.CronCreate,
        "Crons",
        answers=answers.ok(answers.Cron),
    ),
    Endpoint(
        "POST", "/runs/crons/search", search, schema.CronSearch, "Crons", answers=answers.ok(list[answers.SomeCron])
    ),
    Endpoint("POST", "/runs/crons/count", count, schema.CronCount, "Crons", answers=answers.ok(int)),
    Endpoint("GET", "/runs/crons/{cron_id}", get, tag="Crons", answers=answers.ok(answers.Cron)),
    Endpoint("PATCH", "/runs/crons/{cron_id}", patch, schema.CronPatch, "Crons", answers=answers.ok(answers.Cron)),
    Endpoint("DELETE", "/runs/crons/{cron_id}", delete, tag="Crons", answers=answers.NOTHING),
]
