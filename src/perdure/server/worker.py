"""Who runs runs: claims them, renews the claims, takes over what dead workers left.

Theory of operation:

1. A worker claims as many runs as it has room for. A run that a client of this very process asks for, whose thread is
   free and for which there is room, is claimed as it is made, in the same transaction.
2. A claim lasts `lease` seconds. A thread of its own renews it, so that a node that blocks the event loop doesn't
   lose it. With each renewal the worker hears whether the run was asked to stop, and whether somebody elsewhere
   listens.
3. A claim that has run out, or whose process is known to be dead, is given back to the queue by any worker that sees
   it; a run that was begun too often ends as an error. The run goes on from its last checkpoint.
4. A worker that has lost a claim learns it at the next renewal, and stops. Should it be too slow for that, its word
   counts no more: the end of a run is written with the generation of its claim, and the engine's commits carry the
   thread's lease.
5. Told to stop, a worker claims nothing more, lets its runs go on for a while, then gives them back. A node that
   doesn't heed that (it blocks its thread, or goes on after it was cancelled) is left behind, with its claim.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from perdure.checkpoint.liveness import holder, is_dead
from perdure.errors import PerdureError
from perdure.server.database import now, queues, runs
from perdure.server.execution import Execution
from perdure.server.tasks import end

if TYPE_CHECKING:
    from perdure.server.core import Core
    from perdure.server.database.runs import Held, Renewed

_log = logging.getLogger("perdure.server.worker")

_LONGEST_SILENCE: Final = 1.0
_SHORTEST_PAUSE: Final = 0.001
_LAST_PATIENCE: Final = 3.0  # seconds that a run has to let go of, once it was told that its time is over


class Worker:
    """Runs runs of the queue.

    Args:
        core: The server.
    """

    def __init__(self, core: Core) -> None:
        self.core = core
        self.holder = holder(uuid.uuid4().hex)
        self.active: dict[str, Execution] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._reserved = 0
        self._wake = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self._draining = False
        self._beat_now = threading.Event()
        self._has_stopped = False
        self._loop: asyncio.AbstractEventLoop | None = None

    # -- life

    def start(self) -> None:
        """Begin to work."""
        self._loop = asyncio.get_running_loop()
        if self.core.settings.jobs:
            keep = self.core.keep
            self._loops = [keep(self._claim_all(), "claiming"), keep(self._look_after_others(), "taking over")]
        threading.Thread(target=self._beat, name="perdure-server-claims", daemon=True).start()

    async def stop(self) -> None:
        """Let the runs end, for a while; give back those that haven't."""
        self._draining = True
        self._wake.set()
        if self._loops:
            # What is being claimed is waited for: cancelled, it would be claimed and run by nobody.
            await asyncio.wait(self._loops[:1], timeout=self.core.settings.grace)
            await end(*self._loops)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self.core.settings.grace)
        for execution in list(self.active.values()):
            execution.stop("back")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_LAST_PATIENCE)
        for run_id in self.active:
            _log.error("run %s doesn't mind that it is cancelled; it is left behind, and goes on elsewhere", run_id)
        self._has_stopped = True
        self._beat_now.set()

    @property
    def room(self) -> int:
        """How many more runs this worker would take."""
        return 0 if self._draining else max(0, self.core.settings.jobs - len(self.active) - self._reserved)

    def reserve(self) -> bool:
        """Keep room for a run that is about to be made; to be followed by `begin` or `release`."""
        if self.room == 0:
            return False
        self._reserved += 1
        return True

    def release(self) -> None:
        """Give the room back."""
        self._reserved -= 1
        self._wake.set()

    def hint(self) -> None:
        """Look at the queue now."""
        self._wake.set()

    def begin(self, run: dict[str, Any]) -> Execution:
        """Run a run that was claimed for this worker; if that was asked to stop meanwhile, give it back."""
        execution = Execution(self.core, run)
        if self._draining:
            execution.stop("back")
        self.active[run["run_id"]] = execution
        task = asyncio.create_task(self._work(execution))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return execution

    async def _work(self, execution: Execution) -> None:
        try:
            await execution.work()
        finally:
            self.active.pop(execution.run_id, None)
            self._wake.set()

    def stop_run(self, run_id: str, action: str) -> None:
        """Stop a run, if this worker has it."""
        if (execution := self.active.get(run_id)) is not None:
            execution.stop(action)

    def look(self) -> None:
        """Ask the database now how the claims stand: somebody says that a run was asked to stop."""
        self._beat_now.set()

    # -- claiming

    async def _claim_all(self) -> None:
        while not self._draining:
            self._wake.clear()
            try:
                pause = await self._claim()
            except PerdureError as e:
                _log.warning("the queue can't be read: %s", e)
                pause = self.core.settings.poll
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)

    async def _claim(self) -> float:
        """Claim what there is room for; return how long to wait then: no longer than until a rate lets more begin."""
        settings, limits = self.core.settings, self.core.queues.limits
        while (room := self.room) > 0:
            claimed = await self.core.database.write(queues.claim, self.holder, settings.lease, room, limits)
            for run in claimed.runs:
                self.begin(run)
            if len(claimed.runs) < room:
                again = settings.poll if claimed.again_at is None else claimed.again_at - now()
                return min(settings.poll, max(_SHORTEST_PAUSE, again))
        return settings.poll

    # -- renewing

    def _beat(self) -> None:
        """Renew the claims, in a thread."""
        pause = min(self.core.settings.lease / 3, _LONGEST_SILENCE)
        while True:
            self._beat_now.wait(pause)
            self._beat_now.clear()
            if self._has_stopped:
                return
            executions = list(self.active.values())
            if not executions:
                continue
            try:
                claims = [execution.claim for execution in executions]
                renewed = self.core.database.note_now(runs.renew, claims, self.core.settings.lease)
            except PerdureError as e:
                _log.warning("claims can't be renewed: %s", e)
                continue
            assert self._loop is not None
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._heard, executions, renewed)

    def _heard(self, executions: list[Execution], renewed: list[Renewed]) -> None:
        for execution, found in zip(executions, renewed, strict=True):
            if self.active.get(execution.run_id) is not execution:
                continue
            if not found.held:
                execution.stop("lost")
            elif found.cancel is not None:
                execution.stop(found.cancel)
            elif found.watched > 1:
                execution.watch(closely=found.watched > 2)

    # -- the runs of others

    async def _look_after_others(self) -> None:
        while True:
            await asyncio.sleep(min(self.core.settings.lease / 2, _LONGEST_SILENCE))
            try:
                for held in await self.core.database.read(runs.of_others, self.holder):
                    is_left = held.lease_until < now() or is_dead(held.holder)
                    if is_left and held.run_id not in self.active:
                        await self._take_over(held)
            except PerdureError as e:
                _log.warning("the runs of others can't be looked after: %s", e)

    async def _take_over(self, held: Held) -> None:
        run = {"run_id": held.run_id, "thread_id": held.thread_id, "generation": held.generation}
        if held.attempt < self.core.settings.attempts:
            if await self.core.database.write(runs.put_back, run, 0.0):
                _log.warning("run %s was left by its worker; it goes on", held.run_id)
                self.core.metrics.recovered.inc()
                self._wake.set()
            return
        message = f"its workers died {held.attempt} times"
        ending = runs.Ending("error", "error", {"error": "WorkerDiedError", "message": message})
        if await self.core.database.write(runs.finish, run, ending):
            _log.error("run %s is given up: %s", held.run_id, message)
            self.core.metrics.dead.inc()
            self.core.hints.events(held.run_id, held.thread_id, elsewhere=True)
