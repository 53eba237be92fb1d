"""A run as a stream with projections: what `graph.stream_events(..., version="v3")` returns.

Theory of operation: the graph's parts (form v2, with those of all graphs within) are read one at a time, when a reader
of any projection wants more. Each part becomes events; each event goes through the transformers of every scope that it
concerns: the root's, and those of each graph that a node has called. Readers read what the transformers have pushed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from perdure.errors import InvalidConfigError, UsageError
from perdure.stream.events import Events
from perdure.stream.stream_channel import StreamChannel
from perdure.stream.transformers import (
    LifecyclePayload,
    LifecycleTransformer,
    MessagesTransformer,
    ProtocolEvent,
    StreamTransformer,
    SubgraphStatus,
    SubgraphTransformer,
    ValuesTransformer,
    name_of,
)

__all__ = ["AsyncGraphRunStream", "AsyncSubgraphRunStream", "GraphRunStream", "SubgraphRunStream"]

Factory = Callable[[tuple[str, ...]], Any]
Scope = tuple[str, ...]

BUILT_IN = ("values", "messages", "tasks")
"""Stream modes that every such run tells; `tasks` says when graphs within end, and is shown only if it is asked for."""


class _Projections:
    """The projections of one graph of a run."""

    def __init__(self, scope: Scope, streams: SubgraphStreams, factories: Sequence[Factory]) -> None:
        self.scope = scope
        self.state: Any = None
        self.interrupts: list[Any] = []
        self.status: SubgraphStatus = "started"
        self.error: str | None = None
        made = [factory(scope) for factory in factories]
        first = [one for one in made if one.before_builtins]
        built_in = [ValuesTransformer(scope), MessagesTransformer(scope), LifecycleTransformer(scope)]
        later = [one for one in made if not one.before_builtins]
        self.transformers: list[StreamTransformer] = [*first, *built_in, SubgraphTransformer(scope, streams), *later]
        self.extensions: dict[str, Any] = {}
        for transformer in self.transformers:
            for name, projection in transformer.init().items():
                if name in self.extensions:
                    raise InvalidConfigError(f"two transformers make the projection {name!r}")
                self.extensions[name] = projection

    @property
    def channels(self) -> list[StreamChannel[Any]]:
        return [one for one in self.extensions.values() if isinstance(one, StreamChannel)]

    def note(self, event: ProtocolEvent) -> None:
        if event["method"] == "values" and tuple(event["params"]["namespace"]) == self.scope:
            self.state = event["params"]["data"]
            if asked := event["params"].get("interrupts"):
                self.interrupts = list(asked)


class SubgraphStreams:
    """The streams of all graphs of a run, by namespace."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self.by_scope: dict[Scope, Any] = {}

    def of(self, scope: Scope) -> Any:
        """Return the stream of a graph, which begins with the first call."""
        if scope not in self.by_scope:
            self.by_scope[scope] = self._run.stream_type(self._run, scope)
        return self.by_scope[scope]


class _Run:
    """What all streams of one run share: the parts that come, and where they go."""

    def __init__(self, parts: Any, factories: Sequence[Factory], stream_type: type[Any]) -> None:
        self.parts = parts
        self.stream_type = stream_type
        self.streams = SubgraphStreams(self)
        self.factories = factories
        shows_tasks = any("tasks" in factory(()).required_stream_modes for factory in factories)
        self._maker = Events(shows_tasks=shows_tasks)
        self.events: StreamChannel[ProtocolEvent] = StreamChannel("events")
        self.scopes: dict[Scope, _Projections] = {}
        self.order: list[tuple[StreamChannel[Any], int]] = []
        self.is_over = False
        self.error: BaseException | None = None
        self._connect(self.events)

    def _connect(self, channel: StreamChannel[Any]) -> None:
        is_async = hasattr(self.parts, "__anext__")
        channel.drive_by(None if is_async else self.pump, self.apump if is_async else None)

    def projections(self, scope: Scope) -> _Projections:
        """Return a scope's projections, made when they are first wanted."""
        found = self.scopes.get(scope)
        if found is None:
            found = self.scopes[scope] = _Projections(scope, self.streams, self.factories)
            for channel in found.channels:
                self._connect(channel)
        return found

    # -- from parts to events

    def pump(self) -> bool:
        """Take the next part; tell whether there may be more."""
        if self.is_over:
            return False
        try:
            part = next(self.parts)
        except StopIteration:
            self._end()
            return False
        except BaseException as error:  # noqa: BLE001 - every reader gets it
            self._fail(error)
            return False
        for event in self._events(part):
            for projections in self._concerned(event):
                self._deliver(projections, event)
        return True

    async def apump(self) -> bool:
        """Async twin of `pump`."""
        if self.is_over:
            return False
        try:
            part = await anext(self.parts)
        except StopAsyncIteration:
            await self._aend()
            return False
        except BaseException as error:  # noqa: BLE001 - every reader gets it
            await self._afail(error)
            return False
        for event in self._events(part):
            for projections in self._concerned(event):
                await self._adeliver(projections, event)
        return True

    def _deliver(self, projections: _Projections, event: ProtocolEvent) -> None:
        projections.note(event)
        for transformer in projections.transformers:
            if not transformer.process(event):
                return
        if not projections.scope:
            self.events.push(event)

    async def _adeliver(self, projections: _Projections, event: ProtocolEvent) -> None:
        projections.note(event)
        for transformer in projections.transformers:
            if not await transformer.aprocess(event):
                return
        if not projections.scope:
            self.events.push(event)

    def _concerned(self, event: ProtocolEvent) -> list[_Projections]:
        namespace = tuple(event["params"]["namespace"])
        return [self.projections(namespace[:depth]) for depth in range(len(namespace) + 1)]

    def _events(self, part: dict[str, Any]) -> Iterator[ProtocolEvent]:
        """Yield the events of a part; each graph that begins or ends is noted before that is told."""
        for event in self._maker.of(part):
            if event["method"] == "lifecycle":
                self._note(event["params"]["data"])
            yield event

    def _note(self, payload: LifecyclePayload) -> None:
        scope = tuple(payload["namespace"])
        projections = self.projections(scope)
        if payload["event"] == "started":
            return
        projections.status, projections.error = payload["event"], payload.get("error")
        error = projections.error
        self._settle(projections, None if error is None else UsageError(f"the graph {scope[-1]!r} failed: {error}"))

    @staticmethod
    def _settle(projections: _Projections, error: BaseException | None) -> None:
        for transformer in projections.transformers:
            transformer.finalize() if error is None else transformer.fail(error)
        for channel in projections.channels:
            channel.close() if error is None else channel.fail(error)

    # -- the end

    def _end(self) -> None:
        self.is_over = True
        for projections in self.scopes.values():
            if projections.status == "started":
                projections.status = "completed"
                self._settle(projections, None)
        self.events.close()

    async def _aend(self) -> None:
        for projections in self.scopes.values():
            for transformer in projections.transformers:
                if type(transformer).afinalize is not StreamTransformer.afinalize:
                    await transformer.afinalize()
        self._end()

    def _fail(self, error: BaseException) -> None:
        self.is_over, self.error = True, error
        for projections in self.scopes.values():
            if projections.status == "started":
                projections.status, projections.error = "failed", str(error)
                self._settle(projections, error)
        self.events.fail(error)

    async def _afail(self, error: BaseException) -> None:
        for projections in self.scopes.values():
            for transformer in projections.transformers:
                if type(transformer).afail is not StreamTransformer.afail:
                    await transformer.afail(error)
        self._fail(error)


class _Stream:
    """What the streams of both colours have in common."""

    def __init__(self, run: _Run, scope: Scope) -> None:
        self._run = run
        self._scope = scope
        self._projections = run.projections(scope)

    @property
    def extensions(self) -> dict[str, Any]:
        """All projections by name."""
        return dict(self._projections.extensions)

    def __getattr__(self, name: str) -> Any:
        found = self.__dict__["_projections"].extensions if "_projections" in self.__dict__ else {}
        if name in found:
            return found[name]
        known = ", ".join(sorted(found))
        msg = f"the stream has no projection {name!r}; it has {known}: pass a transformer that makes it"
        raise AttributeError(msg)


class GraphRunStream(_Stream):
    """A synchronous run.

    Its projections are attributes: `values`, `messages`, `subgraphs`, `lifecycle`, and those of the transformers that
    it was given. Reading any of them drives the run.
    """

    def __iter__(self) -> Iterator[ProtocolEvent]:
        """Yield every event, of the graphs within too."""
        return iter(self._run.events)

    def _drain(self) -> None:
        while self._projections.status == "started" and self._run.pump():
            pass
        if self._run.error is not None and self._projections.status == "failed":
            raise self._run.error

    @property
    def output(self) -> Any:
        """The state at the end."""
        self._drain()
        return self._projections.state

    @property
    def interrupts(self) -> list[Any]:
        """The questions that the run has stopped to ask."""
        self._drain()
        return list(self._projections.interrupts)

    @property
    def interrupted(self) -> bool:
        """Whether the run has stopped to ask."""
        return bool(self.interrupts)

    def abort(self) -> None:
        """End the run; what is stored stays, and can be resumed."""
        self._run.parts.close()
        if not self._run.is_over:
            self._run._end()  # noqa: SLF001 - the same room

    def interleave(self, *names: str) -> Iterator[tuple[str, Any]]:
        """Yield (projection, item) of several projections, in the order in which they come."""
        channels = {name: getattr(self, name) for name in names}
        seen = dict.fromkeys(channels, 0)
        is_over = False
        while not is_over:
            is_over = not self._run.pump()
            for name, channel in channels.items():
                items, seen[name] = channel.since(seen[name])
                for item in items:
                    yield name, item
        if self._run.error is not None:
            raise self._run.error


class SubgraphRunStream(GraphRunStream):
    """A graph that a node of the run has called.

    Attributes:
        path: Its namespace, a part a level.
        graph_name: The node that called it.
        trigger_call_id: The task that called it.
    """

    def __init__(self, run: _Run, scope: Scope) -> None:
        super().__init__(run, scope)
        self.path = scope
        self.graph_name, self.trigger_call_id = name_of(scope)

    @property
    def status(self) -> SubgraphStatus:
        """How it stands."""
        return self._projections.status

    @property
    def error(self) -> str | None:
        """Why it failed."""
        return self._projections.error


class AsyncGraphRunStream(_Stream):
    """An asynchronous run; its projections are read with `async for`."""

    def __aiter__(self) -> AsyncIterator[ProtocolEvent]:
        """Yield every event, of the graphs within too."""
        return aiter(self._run.events)

    async def _drain(self) -> None:
        while self._projections.status == "started" and await self._run.apump():
            pass
        if self._run.error is not None and self._projections.status == "failed":
            raise self._run.error

    async def output(self) -> Any:
        """Return the state at the end."""
        await self._drain()
        return self._projections.state

    async def interrupts(self) -> list[Any]:
        """Return the questions that the run has stopped to ask."""
        await self._drain()
        return list(self._projections.interrupts)

    async def interrupted(self) -> bool:
        """Tell whether the run has stopped to ask."""
        return bool(await self.interrupts())

    async def abort(self) -> None:
        """End the run; what is stored stays, and can be resumed."""
        await self._run.parts.aclose()
        if not self._run.is_over:
            self._run._end()  # noqa: SLF001 - the same room


class AsyncSubgraphRunStream(AsyncGraphRunStream):
    """A graph that a node of an asynchronous run has called; see `SubgraphRunStream`."""

    def __init__(self, run: _Run, scope: Scope) -> None:
        super().__init__(run, scope)
        self.path = scope
        self.graph_name, self.trigger_call_id = name_of(scope)

    @property
    def status(self) -> SubgraphStatus:
        """How it stands."""
        return self._projections.status

    @property
    def error(self) -> str | None:
        """Why it failed."""
        return self._projections.error


def modes_of(factories: Sequence[Factory], *, is_async: bool) -> list[str]:
    """Return the stream modes that a run must tell for its transformers.

    Raises:
        InvalidConfigError: One works in asynchronous runs only.
    """
    modes = dict.fromkeys(BUILT_IN)
    for factory in factories:
        made = factory(())
        if made.requires_async and not made.supports_sync and not is_async:
            raise InvalidConfigError(
                f"{type(made).__name__} works in asynchronous runs only", hint="use astream_events"
            )
        modes.update(dict.fromkeys(made.required_stream_modes))
    return list(modes)


def streamed(parts: Iterator[Any], factories: Sequence[Factory]) -> GraphRunStream:
    """Return the stream of a synchronous run, from its parts."""
    return GraphRunStream(_Run(parts, factories, SubgraphRunStream), ())


def astreamed(parts: AsyncIterator[Any], factories: Sequence[Factory]) -> AsyncGraphRunStream:
    """Return the stream of an asynchronous run, from its parts."""
    return AsyncGraphRunStream(_Run(parts, factories, AsyncSubgraphRunStream), ())
