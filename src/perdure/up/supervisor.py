"""Keeps the processes of a deployment running: `python -m perdure.up.supervisor FOLDER`.

Theory of operation:

1. One loop does everything, a step each tick. What takes time, a change or the stop, is a generator that the loop
   drives one step a tick, so that a child that dies meanwhile is still started again.
2. A child that has ended is started again, after 0.2 s the first time and twice as long each time it fails in a row,
   up to 30 s. Once it has been ready for 30 s, its failures are forgotten.
3. What runs is written to `state.json` at each change: pid and time of start of each child. Children don't depend on
   the supervisor: they write to files and listen on a socket of their own. So a supervisor that was killed is started
   again, and finds them.
4. SIGTERM stops all in order. SIGHUP says that `deployment.json` has changed. A supervisor that starts looks for
   itself, so a change that a crash interrupted is done again.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Final

from perdure.checkpoint.liveness import start_of
from perdure.up import embedded, logs, replica, sockets, steps
from perdure.up.children import OWN, Child, Kind, Part, parts
from perdure.up.deployment import EMBEDDED, Deployment, Folder
from perdure.up.errors import DeploymentError
from perdure.up.steps import Answer, Steps

_log = logging.getLogger("perdure.up")

_TICK: Final = 0.1
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 30.0
_STEADY: Final = 30.0
"""Seconds after which a child's earlier failures count no more."""
_ROTATING: Final = 5.0

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Supervisor:
    """Keeps a deployment running.

    Args:
        folder: The deployment's.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.state = folder.read_state()
        if self.state.boot != (boot := _boot()):
            self.state.boot, self.state.children = boot, {}
        self.children = {name: Child(name, folder, known) for name, known in self.state.children.items()}
        self.state.pid, self.state.started = os.getpid(), start_of(os.getpid()) or ""
        self._listening = sockets.inherited()
        self._plan: Steps | None = None
        self._is_renewed = False
        self._told: set[signal.Signals] = set()
        self._rotated = 0.0

    # -- the loop

    def run(self) -> int:
        """Run until told to stop; return the exit code."""
        for sig in _SIGNALS:
            signal.signal(sig, self._hear)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)  # those that came while this one became new
        found = ", ".join(child.name for child in self.children.values() if child.process)
        _log.info("supervising %s%s", self.folder.path, f"; found {found}" if found else "")
        self._told.add(signal.SIGHUP)
        self.folder.write_state(self.state)
        while True:
            if self._told & {signal.SIGTERM, signal.SIGINT}:
                self.stop()
                return 0
            if signal.SIGHUP in self._told and self._plan is None:
                self._told.discard(signal.SIGHUP)
                self._plan = self._change()
            self.tick()
            if self._is_renewed and self._plan is None:
                self._become_new()
            time.sleep(_TICK)

    def _become_new(self) -> None:
        """Go on as the new version's supervisor: this process, which finds its children again."""
        assert self.state.running is not None
        python = self.state.running.python
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        if self._told & {signal.SIGTERM, signal.SIGINT}:  # nobody else would hear of it
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            return
        if self._listening is not None:
            sockets.bequeath(self._listening)
        os.execv(python, [python, "-m", "perdure.up.supervisor", str(self.folder.path)])  # noqa: S606 - ourselves

    def _hear(self, sig: int, frame: FrameType | None) -> None:
        self._told.add(signal.Signals(sig))

    def tick(self) -> None:
        """Do what is to be done now."""
        before = repr(self.state)
        for child in self.children.values():
            self._look_after(child)
        if self._plan is not None:
            try:
                next(self._plan)
            except StopIteration:
                self._plan = None
        for child in self.children.values():
            self._start_again(child)
        if time.monotonic() - self._rotated > _ROTATING:
            self._rotated = time.monotonic()
            logs.rotate(self.folder.logs)
        self.state.children = {name: child.state for name, child in self.children.items()}
        if repr(self.state) != before:
            self.folder.write_state(self.state)

    def _look_after(self, child: Child) -> None:
        if child.process is None:
            return
        if child.listen():
            _log.info("%s is ready (%d)", child.name, child.state.pid)
        told = child.process.ended()
        if told is None:
            if child.state.failures and child.state.ready and time.time() - child.state.since > _STEADY:
                child.state.failures = 0
            return
        child.end(told)
        if child.wanted:
            child.state.restarts += 1
            pause = self._pause(child)
            _log.warning("%s ended by itself (%s); it is started again in %.1f s", child.name, told, pause)

    def _start_again(self, child: Child) -> None:
        if not child.wanted or child.process or time.monotonic() < child.not_before or self.state.running is None:
            return
        postgres = self.children.get("postgres")
        if postgres is not None and child is not postgres and not postgres.state.ready:
            return
        deployment = child.deployment or self.state.running
        try:
            child.start(deployment, self._socket(deployment) if child.kind == Kind.API else None)
        except (DeploymentError, OSError) as e:
            child.end(str(e))
            pause = self._pause(child)
            _log.error("%s can't be started: %s; again in %.1f s", child.name, e, pause)

    @staticmethod
    def _pause(child: Child) -> float:
        """Let a child that has failed wait before it is started again; return for how long."""
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0**child.state.failures)
        child.state.failures += 1
        child.not_before = time.monotonic() + pause
        return pause

    def _socket(self, deployment: Deployment) -> socket.socket:
        """Return the socket that all API processes share.

        It may stand beside that of an earlier supervisor, whose children hold it. It isn't made before a process needs
        it: what nobody accepts there would wait.
        """
        address = (deployment.host, deployment.port)
        if self._listening is None or self._listening.getsockname()[:2] != address:
            if self._listening is not None:
                self._listening.close()
                self._listening = None
            running = self.state.running
            is_shared = running is not None and (running.host, running.port) == address and self._answering()
            self._listening = sockets.bound(deployment, is_shared=is_shared)
        return self._listening

    def _answering(self) -> bool:
        return any(child.kind == Kind.API and child.process for child in self.children.values())

    # -- changes

    def _change(self) -> Steps:
        """Make what runs what is wanted."""
        wanted, running = self.folder.read_wanted(), self.state.running
        if wanted is None:
            return
        try:
            if wanted.database == EMBEDDED:
                embedded.Postgres(self.folder.path / "postgres").create()
            if running is None and wanted.replica and replica.restore(self.folder, wanted):
                _log.info("the database was restored from %s", wanted.replica)
            self._begin(running or wanted)  # what runs, runs on
            if running is not None and wanted.version not in {running.version, self.state.seen}:
                yield from self._upgrade(running, wanted)
        except (DeploymentError, OSError) as e:
            self.state.problem = str(e)
            _log.error("%s", e)
        self.state.seen = wanted.version

    def _begin(self, deployment: Deployment) -> None:
        """Want the children of a deployment; those that run, run on."""
        if deployment.apis and not self._answering():
            self._socket(deployment)
        self.state.running = deployment
        names = {part.name for part in parts(deployment)}
        for part in parts(deployment):
            self._child(part).wanted = True
        for name in self.children.keys() - names:
            self._end_at_once(self.children.pop(name))

    def _child(self, part: Part) -> Child:
        return self.children.setdefault(part.name, Child(part.name, self.folder))

    def _end_at_once(self, child: Child) -> None:
        """Ask one that belongs to no deployment any more to stop; an API or a worker drains by itself."""
        if child.process is not None:
            child.process.send(signal.SIGTERM)
        child.let_go()

    def _upgrade(self, old: Deployment, new: Deployment) -> Steps:
        """Replace what runs: migrations first, then the workers one by one, the API last."""
        _log.info("changing from version %d to %d", old.version, new.version)
        setup = Child("setup", self.folder)
        setup.start(new, None)
        assert setup.process is not None
        while (told := setup.process.ended()) is None:
            yield
        setup.let_go()
        if told != "exit code 0":
            self._fail(new, f"`perdure setup` failed ({told})", "setup")
            return
        done: list[Part] = []
        for part in [part for part in parts(new) if part.kind not in OWN]:
            is_ready = yield from self._replace(part, new)
            if is_ready or part.kind != Kind.API or part not in parts(old):
                done.append(part)
            if not is_ready:
                self._fail(new, f"{part.name} doesn't become ready", part.name)
                yield from self._go_back(done, old)
                return
        gone = [self.children[part.name] for part in parts(old) if part not in parts(new)]
        yield from steps.stop(gone, old.grace)
        for child in gone:
            del self.children[child.name]
        self.state.running, self.state.problem = new, ""
        _log.info("version %d runs", new.version)
        self._is_renewed = True

    def _go_back(self, done: list[Part], old: Deployment) -> Steps:
        """Put the old version's processes back where the new one's were."""
        for part in reversed(done):
            if part in parts(old):
                yield from self._replace(part, old)
            else:
                yield from steps.stop([self.children.pop(part.name)], old.grace)

    def _fail(self, new: Deployment, why: str, name: str) -> None:
        self.state.problem = f"version {new.version} isn't taken: {why}; see `perdure logs {name}`"
        _log.error(self.state.problem)

    def _replace(self, part: Part, new: Deployment) -> Answer:
        """Put a new process in a child's place; return whether it became ready.

        An API process is started beside the old one, on the same socket, so that somebody listens all the time. A
        worker is stopped first: what it gives back, the others take.
        """
        old = self._child(part)
        if part.kind != Kind.API:
            old.wanted = False
            yield from steps.stop([old], new.grace)
            old.start(new, None)
            is_ready = yield from steps.ready(old)
            old.wanted = is_ready
            if not is_ready:
                yield from steps.stop([old], 0.0)
            return is_ready
        fresh = Child(part.name, self.folder)
        fresh.state.restarts = old.state.restarts
        self.children[f"{part.name}.new"] = fresh
        fresh.start(new, self._socket(new))
        is_ready = yield from steps.ready(fresh)
        del self.children[f"{part.name}.new"]
        going = old if is_ready else fresh
        if is_ready:
            self.children[part.name], fresh.wanted = fresh, True
            if old.process is not None:
                self.children[f"{part.name}.old"] = old
                yield from steps.leave(old)
        going.wanted = False
        yield from steps.stop([going], new.grace if is_ready else 0.0)
        self.children.pop(f"{part.name}.old", None)
        return is_ready

    # -- the end

    def stop(self) -> None:
        """Stop all: first who takes requests, then who runs, then what both need."""
        grace = self.state.running.grace if self.state.running else 0.0
        for child in self.children.values():
            child.wanted = False
        if self._listening is not None:  # nobody waits there for what doesn't come
            self._listening.close()
        for kind in (Kind.SETUP, Kind.API, Kind.WORKER, *OWN):
            for _ in steps.stop([child for child in self.children.values() if child.kind == kind], grace):
                time.sleep(_TICK)
        self.folder.forget()
        _log.info("all has stopped")


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def main(path: Path) -> int:
    """Supervise the deployment in a folder."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    folder = Folder(path)
    with folder.held():
        return Supervisor(folder).run()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main(Path(sys.argv[1])))
