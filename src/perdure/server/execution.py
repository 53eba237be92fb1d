"""One run: its graph is streamed, its events are told, its end is written down.

A run that another worker had begun goes on from the last checkpoint that it made: it was made by this run if it names
it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from perdure.errors import PerdureError, ThreadHeldError, TransientStorageError
from perdure.server.database import events, now, runs
from perdure.server.database.runs import Ending
from perdure.server.encoding import asked, encode, encode_text, interrupts_plain
from perdure.server.inputs import all_keys_of, config_of, input_of, options_of, told_who
from perdure.server.modes import RunModes
from perdure.server.protocol.telling import MODES, Teller
from perdure.server.shapes import shown_run, shown_time
from perdure.server.states import forget_later
from perdure.server.streams import DONE, RESULT, Frame

if TYPE_CHECKING:
    from perdure.server.core import Core

_log = logging.getLogger("perdure.server.run")

_MOST_UNWRITTEN: Final = 1000
_MOST_BYTES: Final = 4 << 20


class Left(NamedTuple):
    """What a run left behind: its output, and whether something runs next."""

    output: Any
    goes_on: bool


class Execution:
    """Runs a run that was claimed.

    Args:
        core: The server.
        run: The run, as claimed.
    """

    def __init__(self, core: Core, run: dict[str, Any]) -> None:
        self.core = core
        self.run = run
        self.run_id: str = run["run_id"]
        self.thread_id: str = run["thread_id"]
        self.claim = (self.run_id, self.thread_id, run["generation"])
        self.stopped: str | None = run.get("cancel")
        self.channel = core.streams.channel(self.run_id)
        self.channel.is_local = True
        # Its maker listens (1) in this process, or in another one; or somebody else does (2), to all channels (3).
        elsewhere = run["watched"] > 1 or (run["watched"] == 1 and not self.channel.listeners)
        resumable = run["kwargs"].get("stream_resumable", False)
        self.channel.recorded = bool(resumable or elsewhere or core.streams.watches(self.thread_id))
        self._was_begun = run["generation"] > 1
        self.task: asyncio.Task[None] | None = None
        self._seq = 0
        self._unwritten: list[Frame] = []
        self._bytes = 0
        self._writing: asyncio.Task[None] | None = None
        kwargs = run["kwargs"]
        wanted = [] if kwargs.get("protocol") else kwargs["stream_mode"]
        self._run_modes = RunModes(wanted, with_subgraphs=kwargs["stream_subgraphs"])
        # Who listens to all channels is told them; who comes later, what the run tells anyway, and how it ends.
        is_heard = run["watched"] > 2 or core.streams.watches(self.thread_id, closely=True)
        self._tells_all = bool(run["kwargs"].get("protocol") or is_heard)
        self._teller = Teller(run["graph_id"]) if self._tells_all else None
        self._is_open = False
        self._output: Any = None

    def stop(self, reason: str) -> None:
        """Stop the run: `interrupt`, `rollback`, `timeout`; or because its claim is `lost`, or given `back`."""
        if self.stopped is None:
            self.stopped = reason
            if self.task is not None:
                self.task.cancel()

    # -- the whole of it

    async def work(self) -> None:
        """Run, and write the end down. Nothing comes out: what goes wrong belongs to the run."""
        try:
            ending = await self._ending()
            if ending is not None:
                await self._finish(ending)
        except Exception:  # noqa: BLE001 - whatever it is: the run's lease ends, and another worker takes it up
            _log.exception("run %s: its end couldn't be written down; it is taken up when its lease ends", self.run_id)
            await self._drop()

    async def _ending(self) -> Ending | None:
        """Run the graph; return how it ended, None if the run isn't this worker's any more."""
        error: BaseException | None = None
        if self.stopped is None:
            self.task = task = asyncio.create_task(self._stream(), name=f"run {self.run_id}")
            try:
                await asyncio.wait([task], timeout=self.core.settings.timeout)
                if not task.done():
                    self.stop("timeout")
                await task
            except asyncio.CancelledError as e:
                if self.stopped is None:
                    if not task.cancelled():  # the worker itself is being stopped
                        self.stop("back")
                        await asyncio.wait([task])
                    error = e
            except Exception as e:  # noqa: BLE001 - the run's own error: its client is told
                error = e
        await self._drained()
        if self.stopped == "lost":
            self.core.streams.close(self.run_id, moved=True)
            return None
        if self.stopped == "back":
            # Its worker was asked to stop: however often that happens, the run has done nothing wrong.
            await self._give_back(0.0, counts=False)
            return None
        if isinstance(error, TransientStorageError) and self.run["attempt"] < self.core.settings.attempts:
            _log.warning("run %s: %s; it is tried again", self.run_id, error)
            await self._give_back(min(2.0 ** self.run["attempt"], 30.0))
            return None
        return await self._ended(error)

    async def _give_back(self, delay: float, *, counts: bool = True) -> None:
        await self.core.database.write(runs.put_back, self.run, delay, counts=counts)
        self.core.streams.close(self.run_id, moved=True)
        self.core.hints.queue()

    async def _drop(self) -> None:
        self.core.streams.close(self.run_id, moved=True)

    async def _ended(self, error: BaseException | None) -> Ending:
        """Say how the run ended, by its error, by what stopped it, by the state that it left."""
        kwargs = self.run["kwargs"]
        if self.stopped == "rollback":
            try:
                await self.core.saver.adelete_for_runs([self.run_id])
            except ThreadHeldError as held:
                _log.warning("run %s isn't rolled back: %s", self.run_id, held.args[0])
        left = await self._left(error)
        thread_status = "interrupted" if left.goes_on else "idle"
        status, told = "success", None
        if self.stopped in ("interrupt", "rollback"):
            status = "interrupted"
        elif self.stopped == "timeout":
            status, told = "timeout", {"error": "TimeoutError", "message": "the run took longer than it may"}
        elif error is not None:
            status, thread_status = "error", "error"
            told = {"error": type(error).__name__, "message": str(error)}
            _log.info("run %s failed: %s: %s", self.run_id, type(error).__name__, error, exc_info=error)
        if told is not None:
            self._tell("error", told)
        self._notice_listeners()
        if self._teller is not None:
            for name, data in self._end_of(self._teller, status, left, told, with_values=not self._tells_all):
                self._keep(name, data)
        self._note_result(left.output if told is None else {"__error__": told})
        late = None if self.channel.recorded else partial(self._late, status, left, told)
        forget = "run" if self.stopped == "rollback" else None
        if kwargs.get("on_completion") == "delete":
            forget = "thread"
        return Ending(status, thread_status, told, self._webhook(status, left.output, told), (), forget, late)

    async def _left(self, error: BaseException | None) -> Left:
        """Return what the run left: what it told last, if it came to its end or to a question; or else the state."""
        kwargs, output = self.run["kwargs"], self._output
        can_pause = kwargs.get("interrupt_before") or kwargs.get("interrupt_after")
        async with self.core.graphs.open(self.run["graph_id"], self._config(), self.run["caller"]) as graph:
            can_pause = can_pause or graph.interrupt_before_nodes or graph.interrupt_after_nodes
            if error is None and self.stopped is None and isinstance(output, dict) and not can_pause:
                return Left(interrupts_plain(output), bool(output.get("__interrupt__")))
            state = await graph.aget_state({"configurable": {"thread_id": self.thread_id}})
        return Left(output_of(state), bool(state.next))

    def _end_of(
        self, teller: Teller, status: str, left: Left, error: dict[str, Any] | None, *, with_values: bool
    ) -> Iterator[tuple[str, bytes]]:
        """Say how the run ended, with its end, not before: who hears it finds the thread free."""
        questions = left.output.get("__interrupt__", ()) if isinstance(left.output, dict) and error is None else ()
        event = "interrupted" if status == "interrupted" or left.goes_on else "completed"
        message = None if error is None else f"{error['error']}: {error['message']}"
        told = list(teller.end("failed" if error else event, questions, message))
        if with_values and error is None and left.output is not None:
            told.insert(0, teller.values(left.output))
        for name, params in told:
            yield name, encode(params)

    def _late(self, status: str, left: Left, error: dict[str, Any] | None) -> list[tuple[Any, ...]]:
        """Make what is told to those who began to listen elsewhere so late that the run hasn't heard of it.

        Called by whoever writes the end down, in any thread: changes nothing.
        """
        teller = Teller(self.run["graph_id"])
        begin, params = teller.begin()
        told = [(begin, encode(params)), *self._end_of(teller, status, left, error, with_values=True)]
        told += _results(self.run_id, left.output if error is None else {"__error__": error})
        moment = now()
        return self._rows([Frame(seq, *one, moment) for seq, one in enumerate(told, self._seq + 1)])

    def _note_result(self, result: Any) -> None:
        if self.channel.wants_result:
            self.channel.result = encode(result)
        if self.channel.recorded:
            for name, data in _results(self.run_id, result):
                self._keep(name, data)

    def _webhook(self, status: str, values: Any, error: Any) -> tuple[str, str] | None:
        url = self.run["kwargs"].get("webhook")
        if not url:
            return None
        moment = now()
        run = {**self.run, "status": status, "updated_at": moment}
        body = {**shown_run(run), "values": values, "error": error}
        times = {"run_started_at": shown_time(run["created_at"]), "run_ended_at": shown_time(moment)}
        return url, encode_text({**body, **times})

    async def _finish(self, ending: Ending) -> None:
        """Write the end down, then tell it."""
        unwritten, self._unwritten = self._unwritten, []
        ending = ending._replace(events=self._rows(unwritten))
        # Undone by a power failure, the run would be taken up, find that nothing is left to do, and end again.
        held, was_late = await self.core.database.lightly(runs.finish, self.run, ending)
        for frame in unwritten:
            self.channel.publish(frame)
        self.core.streams.close(self.run_id, moved=not held)
        self.core.metrics.ended(self.run, ending.status if held else "lost")
        self.core.hints.events(self.run_id, self.thread_id, elsewhere=self.channel.recorded or was_late)
        self.core.hints.queue()
        if ending.webhook is not None:
            self.core.webhooks.hint()
        if ending.forget == "thread" and held:
            forget_later(self.core, self.thread_id)

    # -- streaming

    def _config(self) -> dict[str, Any]:
        return config_of(self.run, self.core.settings.recursion_limit)

    async def _stream(self) -> None:
        telemetry = self.core.telemetry
        with nullcontext() if telemetry is None else telemetry.run(self.run):
            await self._streamed()

    async def _streamed(self) -> None:
        config = self._config()
        if self._was_begun:
            self._seq = await self.core.database.read(events.last_of_run, self.run_id)
        self._tell("metadata", {"run_id": self.run_id, "attempt": self.run["attempt"]})
        if self._teller is not None:
            self._tell(*self._teller.begin())
        self._is_open = True
        async with self.core.graphs.open(self.run["graph_id"], config, self.run["caller"]) as opened:
            value, config = await self._begin(opened, config)
            telemetry = self.core.telemetry
            graph = told_who(opened, self.run, (self.core.metrics.figures, telemetry.observer if telemetry else None))
            modes = list(dict.fromkeys([*self._run_modes.asks, *(MODES if self._tells_all else ())]))
            options = options_of(self.run, graph)
            if not modes:
                self._output = await graph.ainvoke(value, config, output_keys=all_keys_of(graph), **options)
                return
            subgraphs = self._run_modes.needs_subgraphs or self._tells_all
            stream = graph.astream(value, config, stream_mode=modes, subgraphs=subgraphs, **options)
            async with aclosing(stream) as parts:
                await self._hand_out(parts, subgraphs=subgraphs)

    async def _begin(self, graph: Any, config: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return the input, and the config; of a run that was begun before, what goes on with it."""
        value = input_of(self.run, graph)
        if not self._was_begun:
            return value, config
        here = {"configurable": {"thread_id": self.thread_id}}
        state = await graph.aget_state(here)
        command = self.run["kwargs"].get("command")
        was_begun = (state.metadata or {}).get("run_id") == self.run_id
        answered = command is not None and "resume" in command and state.next and not state.interrupts
        if not was_begun and not answered:
            return value, config
        configurable = {k: v for k, v in config["configurable"].items() if not k.startswith("checkpoint_")}
        return None, {**config, "configurable": configurable}

    async def _hand_out(self, parts: AsyncIterator[Any], *, subgraphs: bool) -> None:
        async for part in parts:
            ns, mode, payload = part if subgraphs else ((), *part)
            if mode == "values" and not ns:
                self._output = payload
            self._tell_listeners(ns, mode, payload)
            for name, told in self._run_modes.of(ns, mode, payload):
                self._tell(name, told)
            if len(self._unwritten) > _MOST_UNWRITTEN or self._bytes > _MOST_BYTES:
                await self._drained()

    def _tell_listeners(self, ns: tuple[str, ...], mode: str, payload: Any) -> None:
        """Tell a part to those who listen to the thread. Who came late isn't told of graphs within."""
        if self._teller is not None and mode in MODES and (self._tells_all or not ns):
            for name, params in self._teller.of(ns, mode, payload):
                self._tell(name, params)

    # -- telling

    def watch(self, *, closely: bool) -> None:
        """Record from now on: somebody listens who isn't the run's maker; `closely`: to all channels."""
        if not self.channel.recorded:
            self.channel.recorded, self.channel.first = True, self._seq + 1
        if closely:
            self._join_in()

    def _notice_listeners(self) -> None:
        streams = self.core.streams
        if streams.watches(self.thread_id):
            self.watch(closely=streams.watches(self.thread_id, closely=True))

    def _join_in(self) -> None:
        """Begin to tell those who listen to all channels and have come after the run began."""
        if self._teller is None and self._is_open:
            self._teller = Teller(self.run["graph_id"])
            self._tell(*self._teller.begin())

    def _tell(self, name: str, payload: Any) -> None:
        self._notice_listeners()
        if self.channel.recorded:
            self._keep(name, encode(payload))
            if self._writing is None:
                self._writing = asyncio.create_task(self._write())
        elif self.channel.listeners:
            self._seq += 1
            self.channel.publish(Frame(self._seq, name, encode(payload), now()))

    def _keep(self, name: str, data: bytes) -> None:
        self._seq += 1
        self._bytes += len(data)
        self._unwritten.append(Frame(self._seq, name, data, now()))

    async def _write(self) -> None:
        """Write down what waits, then tell it, until nothing waits."""
        try:
            while self._unwritten:
                frames, self._unwritten = self._unwritten, []
                self._bytes = 0
                try:
                    await self.core.database.note(events.add, self._rows(frames))
                except PerdureError as e:  # the next event tries again, or the run's end, which can't do without
                    self._unwritten = [*frames, *self._unwritten]
                    self._bytes = sum(len(frame.data) for frame in self._unwritten)
                    _log.warning("run %s: its events aren't written down yet: %s", self.run_id, e)
                    return
                for frame in frames:
                    self.channel.publish(frame)
                self.core.hints.events(self.run_id, self.thread_id, elsewhere=True)
        finally:
            self._writing = None

    async def _drained(self) -> None:
        """Wait until all is written down."""
        while self._writing is not None:
            await asyncio.shield(self._writing)

    def _rows(self, frames: list[Frame]) -> list[tuple[Any, ...]]:
        return [(self.thread_id, self.run_id, f.seq, f.name, f.data.decode(), f.at) for f in frames]


def _results(run_id: str, result: Any) -> list[tuple[str, bytes]]:
    return [(RESULT, encode(result)), (DONE, encode({"status": DONE, "run_id": run_id}))]


def output_of(state: Any) -> Any:
    """Return what a run that left this state has to say: the values, and the questions that are open."""
    if state is None:
        return None
    values = state.values
    if state.interrupts and isinstance(values, dict):
        return {**values, "__interrupt__": [asked(item) for item in state.interrupts]}
    return values
