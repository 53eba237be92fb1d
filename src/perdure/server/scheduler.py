"""What happens at its time: crons make runs, threads that nobody needs any more go, old events are deleted.

Any number of processes do this at once; each cron's moment is claimed by one.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from cronsim import CronSim, CronSimError

from perdure.checkpoint.ids import first_id
from perdure.errors import PerdureError, ThreadHeldError, TransientStorageError, UsageError
from perdure.server.database import crons, events, now, queues, threads
from perdure.server.making import make_run
from perdure.server.schema import RunCreate
from perdure.server.states import delete_thread
from perdure.server.tasks import end

if TYPE_CHECKING:
    from perdure.database.operation import Op
    from perdure.server.core import Core
    from perdure.server.database import Statements

_log = logging.getLogger("perdure.server.scheduler")

_TICK: Final = 1.0
_ABANDONED: Final = 100
_WHILE_HELD: Final = 3600.0


def next_time(schedule: str, timezone: str | None, after: float, end: float | None = None) -> float | None:
    """Return a schedule's next moment; None if it has no more before its end.

    Raises:
        UsageError: The schedule or the time zone can't be understood.
    """
    if len(schedule.split()) != 5:
        raise UsageError(f"{schedule!r} is not a schedule", hint="five fields: minute hour day month weekday")
    try:
        zone = ZoneInfo(timezone) if timezone else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError) as e:
        raise UsageError(f"there is no time zone {timezone!r}", hint="an IANA name such as Europe/Berlin") from e
    try:
        found = next(CronSim(schedule, datetime.fromtimestamp(after, zone)))
    except CronSimError as e:
        raise UsageError(
            f"{schedule!r} is not a schedule: {e}", hint="five fields: minute hour day month weekday"
        ) from e
    except StopIteration:
        return None
    moment = found.timestamp()
    return None if end is not None and moment > end else moment


class Scheduler:
    """Does what is due.

    Args:
        core: The server.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._task: asyncio.Task[None] | None = None
        spec = core.config.checkpointer and core.config.checkpointer.ttl
        minutes = spec and spec.sweep_interval_minutes
        self._pause = minutes * 60 if minutes else core.settings.sweep
        self._limit = (spec and spec.sweep_limit) or _ABANDONED
        self._by_rules = bool(spec and spec.rules)

    def start(self) -> None:
        """Begin."""
        self._task = self._core.keep(self._keep(), "scheduler")

    async def stop(self) -> None:
        """Stop."""
        if self._task is not None:
            await end(self._task)

    async def _keep(self) -> None:
        swept = rested = 0.0
        while True:
            try:
                for cron in await self._core.database.read(crons.due, now()):
                    await self._run(cron)
                if now() - swept > self._core.settings.sweep:
                    swept = now()
                    await self._core.database.once(events.sweep, self._core.settings.keep_events)
                    await self._core.database.once(queues.sweep)
                if now() - rested > self._pause:
                    rested = now()
                    await self.sweep()
                    if self._by_rules:
                        await self._sweep_by_rules()
            except PerdureError as e:
                _log.warning("what is due can't be done: %s", e)
            await asyncio.sleep(min(_TICK, self._pause))

    async def _run(self, cron: dict[str, Any]) -> None:
        """Claim a cron's moment and make its run, in one transaction. Moments missed while nothing ran are one.

        A run that can't be made now is made later if the database is why, and else left out.
        """
        following: float | None = None
        moved: bool | None = None

        def claim(sql: Statements) -> Op[bool]:
            nonlocal moved
            moved = yield from crons.move(sql, cron["cron_id"], cron["next_run_at"], following)
            return moved

        try:
            following = next_time(cron["schedule"], cron["timezone"], now(), cron["end_time"])
            if cron["end_time"] is not None and cron["next_run_at"] > cron["end_time"]:
                await self._core.database.once(claim)
                return
            whose = {"caller": cron["caller"], "filters": None}
            await make_run(self._core, _asked(cron), cron["thread_id"], condition=claim, **whose)
        except TransientStorageError:
            raise
        except (PerdureError, msgspec.ValidationError) as e:
            if moved is None:
                await self._core.database.once(claim)
            if moved:  # or else another process was first
                _log.warning("cron %s made no run: %s", cron["cron_id"], e)

    async def sweep(self) -> None:
        """Delete threads whose time is over; those on hold are looked at again later."""
        core = self._core
        for thread_id, strategy in await core.database.read(threads.expired, self._limit):
            try:
                if strategy == "keep_latest":
                    await core.saver.aprune([thread_id], strategy="keep_latest")
                    await core.database.once(threads.put_off, thread_id, None)
                else:
                    await delete_thread(core, thread_id, None)
            except ThreadHeldError:  # it must not be in the way of the others
                await core.database.once(threads.put_off, thread_id, now() + _WHILE_HELD)

    async def _sweep_by_rules(self) -> None:
        """Delete threads that rest for longer than their own rules say; those on hold, or that a run has, stay."""
        core = self._core
        async for thread_id, rules in core.saver.arules():
            if not isinstance(rules.ttl, timedelta) or rules.hold is not None:
                continue
            moment = datetime.now(UTC) - rules.ttl
            head = await core.saver.aget_head(thread_id)
            if head is None or head >= first_id(moment):
                continue
            with suppress(ThreadHeldError):  # just now
                row = await core.database.read(threads.get, thread_id)
                if row is None:
                    await core.saver.aprune([thread_id], strategy="delete", older_than=moment)
                elif row["run_id"] is None:
                    await delete_thread(core, thread_id, None)


def _asked(cron: dict[str, Any]) -> RunCreate:
    """Return the run that a cron asks for.

    Raises:
        msgspec.ValidationError: It was stored by a version that knew other runs.
    """
    config = dict(cron["payload"].get("config") or {})
    config["configurable"] = {**(config.get("configurable") or {}), "cron_id": cron["cron_id"]}
    payload = {**cron["payload"], "assistant_id": cron["assistant_id"], "config": config}
    asked = msgspec.convert(payload, RunCreate)
    asked.on_completion = cron["on_run_completed"] or "delete"
    return asked
