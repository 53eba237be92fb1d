"""Running a server: one process, or several on one socket, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, Final

import uvicorn

from perdure.errors import InvalidConfigError
from perdure.server import readiness
from perdure.server.app import make_app
from perdure.server.bounded_http import BoundedHttp
from perdure.server.config import NAMES
from perdure.server.core import Core
from perdure.server.logs import configure
from perdure.server.settings import Settings, from_environment, to_environment

__all__ = ["bound", "migrate", "run", "run_reloading", "run_several"]

_log = logging.getLogger("perdure.server")
_BACKLOG: Final = 2048
_PATIENCE: Final = 5.0
_MOST_PATIENCE: Final = 10.0  # after the grace, for all that has to be closed
_LAST_PATIENCE: Final = 2.0  # for threads, when all else is closed
_TICK: Final = 0.3
_MOST_FAILURES: Final = 5
_SKIPPED: Final = frozenset({"node_modules", "venv", "site-packages"})


class _Uvicorn(uvicorn.Server):
    """Drains the runs when it is told to stop, while it still answers.

    SIGUSR1 comes before that from who replaces it, once another process accepts on the same socket: then it answers
    those that it has accepted, and accepts no more.
    """

    def __init__(self, config: uvicorn.Config, core: Core) -> None:
        super().__init__(config)
        self._core = core
        self._draining: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.told = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started:
            if hasattr(signal, "SIGUSR1"):
                self._loop.add_signal_handler(signal.SIGUSR1, self._leave_the_rest)
            readiness.tell("READY=1")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.told:
            _end_within(self._core.settings.grace + _MOST_PATIENCE, 1)
        self.told = True
        if self._draining is None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._drain)
        else:
            super().handle_exit(sig, frame)

    def _leave_the_rest(self) -> None:
        for server in self.servers:
            server.close()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        _end_within(_LAST_PATIENCE, 0)

    def _drain(self) -> None:
        if self._draining is None:
            readiness.tell("STOPPING=1")
            self._draining = asyncio.ensure_future(self._core.drain())
            self._draining.add_done_callback(lambda _: setattr(self, "should_exit", True))


def _end_within(seconds: float, code: int) -> None:
    """End the process after some time: a node that blocks a thread, or the event loop, would keep it for ever."""

    def end() -> None:
        _log.critical("a node doesn't stop; the process ends without it, and its run goes on elsewhere")
        logging.shutdown()
        os._exit(code)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


class _WebSockets(asyncio.Protocol):
    """uvicorn's WebSockets, imported when the first one is opened."""

    def __new__(cls, *args: Any, **options: Any) -> Any:
        from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

        return WebSocketsSansIOProtocol(*args, **options)


def bound(settings: Settings) -> socket.socket:
    """Return a socket that is bound to the server's address."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio sends small parts at once then
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((settings.host, settings.port))
        made.listen(_BACKLOG)
    except OSError:
        made.close()
        raise
    made.set_inheritable(True)
    return made


def run(settings: Settings, listening: socket.socket | None) -> int:
    """Serve in this process until a signal comes; return the exit code.

    Args:
        settings: How.
        listening: Where requests come in; None: this process only works.
    """
    configure(settings)
    core = Core(settings)
    has_auth = core.config.auth is not None and core.config.auth.path is not None
    check_binding(settings, core.guard.is_open and not has_auth)
    if listening is None or not settings.serves:
        asyncio.run(_work(core))
        return 0
    config = uvicorn.Config(
        make_app(core),
        log_config=None,
        access_log=False,
        lifespan="on",
        http=BoundedHttp,
        ws=_WebSockets,
        ws_max_size=settings.largest_body,
        timeout_graceful_shutdown=int(settings.grace + _PATIENCE),
        timeout_keep_alive=75,
        server_header=False,
        date_header=False,
    )
    server = _Uvicorn(config, core)
    server.run(sockets=[listening])
    return 0 if server.started or server.told else 1


def check_binding(settings: Settings, guard_is_open: bool) -> None:
    """Refuse to let everybody in from everywhere.

    Raises:
        InvalidConfigError: The address is reachable from elsewhere, and nobody is asked who they are.
    """
    if settings.host in ("127.0.0.1", "::1", "localhost") or settings.insecure or not guard_is_open:
        return
    raise InvalidConfigError(
        f"anybody who reaches {settings.host}:{settings.port} could run graphs and read all threads",
        hint='set PERDURE_API_KEYS, or "auth" in the configuration; or say --insecure',
    )


async def _work(core: Core) -> None:
    """Run what others ask for, until a signal comes."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hear(sig: int, frame: FrameType | None) -> None:
        _end_within(core.settings.grace + _MOST_PATIENCE, 1)
        loop.call_soon_threadsafe(told.set)

    for sig in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sig, hear)  # not the loop's: a node may block it
    await core.start()
    _log.info("working on %s", core.database.url.rpartition("@")[2])
    readiness.tell("READY=1")
    await told.wait()
    readiness.tell("STOPPING=1")
    await core.stop()
    _end_within(_LAST_PATIENCE, 0)


def migrate(settings: Settings) -> None:
    """Make the tables, or bring them up to date, without serving.

    Args:
        settings: How the server is run.

    Raises:
        StorageError: It can't be done; what one migration does, it does as a whole or not at all.
    """
    configure(settings)
    core = Core(settings)

    async def opened() -> None:
        try:
            await core.open()
        finally:
            await core.close()

    asyncio.run(opened())


class Children:
    """Processes that serve on one socket.

    Args:
        settings: How.
        listening: The socket.
    """

    def __init__(self, settings: Settings, listening: socket.socket) -> None:
        descriptor = listening.fileno()
        self._environment = {**os.environ, **to_environment(settings), "PERDURE_FD": str(descriptor)}
        self._descriptor = descriptor
        self.told = False
        for sig in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sig, self._hear)

    def _hear(self, sig: int, frame: FrameType | None) -> None:
        self.told = True

    def start(self) -> subprocess.Popen[bytes]:
        """Start one. It leads a group of its own: Ctrl-C is for the parent, which tells it to stop."""
        command = [sys.executable, "-m", "perdure.server.serving"]
        return subprocess.Popen(  # noqa: S603 - ourselves
            command, env=self._environment, pass_fds=[self._descriptor], start_new_session=True
        )

    @staticmethod
    def stop(children: Sequence[subprocess.Popen[bytes]]) -> int:
        """Tell them to stop, and wait for it; return the exit code: 1 if one ended otherwise than it was told."""
        for child in children:
            with suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)
        # One that was still starting hears no signal yet, and ends by it.
        codes = [child.wait() for child in children]
        return int(any(code not in {0, -signal.SIGTERM} for code in codes))


def run_several(settings: Settings, listening: socket.socket, count: int) -> int:
    """Serve in several processes on one socket; one that dies is replaced."""
    configure(settings)
    made = Children(settings, listening)
    children = [made.start() for _ in range(count)]
    failures = 0
    while not made.told and failures < _MOST_FAILURES * count:
        time.sleep(_TICK)
        for place, child in enumerate(children):
            if child.poll() is not None:
                failures += 1
                _log.error("process %d ended with %s; another takes its place", child.pid, child.returncode)
                children[place] = made.start()
    return made.stop(children) if made.told else 1


def run_reloading(settings: Settings, listening: socket.socket) -> int:
    """Serve in a process that is started anew when a file of the project changes."""
    configure(settings)
    made = Children(settings, listening)
    folder = settings.config.resolve().parent
    seen = _times(folder)
    child = made.start()
    while not made.told:
        time.sleep(_TICK)
        now = _times(folder)
        if now != seen:
            changed = [
                str(path.relative_to(folder)) for path in now.keys() | seen.keys() if now.get(path) != seen.get(path)
            ]
            _log.info("%s changed; starting anew", ", ".join(sorted(changed)[:3]))
            seen = now
            made.stop([child])
            child = made.start()
        elif child.poll() is not None and not made.told:
            _log.info("the server has ended; it is started anew when a file changes")
            while not made.told and _times(folder) == seen:
                time.sleep(_TICK)
    return made.stop([child])


def _times(folder: Path) -> dict[Path, float]:
    """Return when the files of a project were changed: its code, its configuration, its variables."""
    found: dict[Path, float] = {}
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__")) and name not in _SKIPPED]
        for name in files:
            if name.endswith(".py") or name in NAMES or name.startswith(".env"):
                with suppress(OSError):
                    found[Path(root) / name] = (Path(root) / name).stat().st_mtime
    return found


def main() -> Any:
    """Be one of several processes."""
    settings = from_environment()
    if "PERDURE_FD" not in os.environ:
        return run(settings, None)
    with socket.socket(fileno=int(os.environ["PERDURE_FD"])) as listening:
        return run(settings, listening)


if __name__ == "__main__":
    sys.exit(main())
