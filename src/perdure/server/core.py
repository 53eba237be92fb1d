"""The server without HTTP: what it holds, how it starts and stops."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perdure.checkpoint.registry import open_saver
from perdure.checkpoint.serde.keys import encrypted_if_keys_are_set
from perdure.server.auth import Guard
from perdure.server.auth_cache import Remembered
from perdure.server.config import load_config, read_env
from perdure.server.config_file import RedisSpec
from perdure.server.database import assistants, open_database
from perdure.server.graphs import Graphs, assistant_of, load_object
from perdure.server.hints import Hints
from perdure.server.metrics import Metrics
from perdure.server.protocol.ends import Ends
from perdure.server.queues import Queues
from perdure.server.scheduler import Scheduler
from perdure.server.storing import open_store
from perdure.server.streams import Streams
from perdure.server.telemetry import telemetry_of
from perdure.server.webhooks import Policy, Sender
from perdure.server.worker import Worker

if TYPE_CHECKING:
    from perdure.interop.otel_server import Telemetry
    from perdure.server.settings import Settings

_log = logging.getLogger("perdure.server")


class Core:
    """What a server holds.

    Args:
        settings: How it is run.

    Attributes:
        config: What it serves.
        database: Its tables.
        saver: Where threads are.
        store: Memory across threads.
        redis: What carries hints between processes; None: the database, if it can.
        forgetting: Deletions of threads that are under way.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.config = load_config(settings.config)
        self.folder: Path = settings.config.resolve().parent
        self.database = open_database(settings.database)
        named = settings.redis and RedisSpec(settings.redis, settings.key_prefix)
        self.redis = named or self.config.redis
        self.metrics = Metrics()
        self.queues = Queues(self.config.queues)
        self.hints = Hints(self)
        self.streams = Streams(self.database, settings.longest_backlog, self.hints.listening)
        self.ends = Ends(self.streams)
        self.worker = Worker(self)
        self.scheduler = Scheduler(self)
        self.webhooks = Sender(self, Policy(self.config.webhooks, disabled=self.config.http.disable_webhooks))
        self.guard = Guard(settings.api_keys)
        self.telemetry: Telemetry | None = None
        self.saver: Any = None
        self.store: Any = None
        self.graphs: Graphs
        self._open = AsyncExitStack()
        self.forgetting: set[asyncio.Task[None]] = set()

    # -- life

    async def open(self) -> None:
        """Open database, saver and store; their tables are made, or brought up to date.

        Raises:
            InvalidConfigError: The configuration has a mistake.
        """
        import os

        for name, value in read_env(self.config, self.folder).items():
            os.environ.setdefault(name, value)
        if (telemetry := telemetry_of(self.config.telemetry, self.folder)) is not None:
            self.telemetry = telemetry
            self._open.callback(telemetry.close)
        await self.database.setup()
        self._open.push_async_callback(self.database.aclose)
        self.saver = await self._opened_saver()
        self.store = await self._open.enter_async_context(open_store(self.settings, self.config, self.folder))

    async def start(self) -> None:
        """Open everything, load the graphs, begin to work.

        Raises:
            InvalidConfigError: The configuration has a mistake.
        """
        await self.open()
        self.graphs = Graphs(self.config, self.folder, self.saver, self.store)
        await self.graphs.load()
        self._open.push_async_callback(self.graphs.close)
        if (spec := self.config.auth) is not None and spec.path is not None:
            remembered = None if spec.cache is None else Remembered(spec.cache)
            auth = load_object(spec.path, self.folder, "auth.path")
            self.guard = Guard(self.settings.api_keys, auth, remembered, self.settings.largest_body)
        for name in self.graphs.names:
            await self._add_own_assistant(name)
        for part in (self.hints, self.worker, self.scheduler, self.webhooks):
            part.start()

    async def _opened_saver(self) -> Any:
        spec = self.config.checkpointer
        if spec is None or spec.path is None:
            serde = encrypted_if_keys_are_set()
            options = {} if serde is None else {"serde": serde}
            saver: Any = self._open.enter_context(open_saver(self.settings.database, **options))
            await saver.asetup()
            return saver
        found = load_object(spec.path, self.folder, "checkpointer.path")
        found = found() if callable(found) and not hasattr(found, "get_tuple") else found
        if hasattr(found, "__await__"):
            found = await found
        if hasattr(found, "__aenter__"):
            return await self._open.enter_async_context(found)
        return self._open.enter_context(found) if hasattr(found, "__enter__") else found

    async def _add_own_assistant(self, name: str) -> None:
        about = {"graph_id": name, "name": name, "description": self.graphs.description(name)}
        own = {"assistant_id": assistant_of(name), "config": {}, "context": {}, "metadata": {"created_by": "system"}}
        await self.database.write(assistants.create, {**own, **about})

    def keep(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run one of the server's own loops. One that breaks stops the server: it must not go on without it unseen."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(_end_with)
        return task

    async def drain(self) -> None:
        """Take no more runs, let those that run end for a while, then let the listeners go."""
        await self.worker.stop()
        self.streams.close_all()
        if self.forgetting:
            await asyncio.wait(self.forgetting)

    async def stop(self) -> None:
        """Stop, and close everything."""
        await self.drain()
        for part in (self.scheduler, self.webhooks, self.hints):
            await part.stop()
        await self.close()

    async def close(self) -> None:
        """Close what `open` has opened."""
        await self._open.aclose()


def _end_with(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.critical("the server's %s is broken; the server stops", task.get_name(), exc_info=error)
        signal.raise_signal(signal.SIGTERM)
