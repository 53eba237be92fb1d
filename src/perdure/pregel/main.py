"""`Pregel`: a plan with a saver, and the methods by which people run it and look at its threads."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from perdure.errors import InvalidConfigError, UsageError
from perdure.pregel import owed, recovery, sync, turns
from perdure.pregel.access import ThreadAccess
from perdure.pregel.calls import Call, adopted, coercer, merge_configs
from perdure.pregel.driver import aanswer, answer
from perdure.pregel.nodes import NodeBuilder, plan_of, validate
from perdure.pregel.plan import policies_of
from perdure.pregel.recovery import Recovered
from perdure.pregel.run import Run
from perdure.pregel.stream import Shaper, parse_modes
from perdure.types import GraphOutput, ensure_valid_checkpointer

if TYPE_CHECKING:
    from perdure.channels.base import BaseChannel
    from perdure.pregel.effects import Loop
    from perdure.pregel.plan import Node
    from perdure.pregel.stream import Event
    from perdure.runtime import RunControl, ServerInfo
    from perdure.stream import AsyncGraphRunStream, GraphRunStream
    from perdure.types import (
        All,
        BusyPolicy,
        CachePolicy,
        Checkpointer,
        Durability,
        Migration,
        RetryPolicy,
        RunnableConfig,
        StreamMode,
    )

__all__ = ["NodeBuilder", "Pregel"]

BUSY_POLICIES = ("wait", "reject", "interrupt")


class Pregel(ThreadAccess):
    """A graph that can be run: nodes that channels start, in supersteps.

    `StateGraph` and `entrypoint` make one; by hand, its nodes are made by `NodeBuilder`.

    Args:
        nodes: By name.
        channels: By name.
        input_channels: What receives a run's input: a name for all of it, or a list of the names of its items.
        output_channels: What a run returns: a name or a list of names.
        stream_channels: What states and the stream mode `values` show; all channels by default.
        auto_validate: Whether to look for names of channels and nodes that aren't there.
        stream_mode: What `stream` tells by default.
        stream_eager: Whether a stream tells of what happens within a superstep before the superstep has ended.
        step_timeout: Seconds that a superstep may take; None for any.
        debug: Print what happens in every run.
        retry_policy: Of nodes that have none.
        cache_policy: Of nodes that have none.
        context_schema: The type of the run's context, a dataclass or Pydantic model.
        checks: By channel, what raises ValueError if a value may not be stored.
        version: The graph's version, stored with its checkpoints; see `perdure.pregel.versions`.
        migrations: How the state of other versions becomes this one's.
        other_versions: What to do with threads of other versions: migrate them to the `latest`, or `refuse`.
        name: The graph's name.
        transformers: What makes further projections of `stream_events`, of every run.
        checkpointer: A saver; True to share the saver of the graph around with a memory over calls; None to share
            it for the time of one call; False for none.
        store: Memory across threads, given to nodes.
        cache: Keeps what nodes with a cache policy return.
        interrupt_before_nodes: Nodes before which every run stops; "*" for all.
        interrupt_after_nodes: Nodes after which every run stops; "*" for all.
        busy: What a call does when another one runs its thread.
        config: Defaults for the config of every call.

    Raises:
        GraphValidationError: A channel or node is named that isn't there.
    """

    def __init__(
        self,
        *,
        nodes: Mapping[str, Node | NodeBuilder],
        channels: Mapping[str, BaseChannel[Any, Any, Any]],
        input_channels: str | Sequence[str],
        output_channels: str | Sequence[str],
        stream_channels: str | Sequence[str] | None = None,
        auto_validate: bool = True,
        stream_mode: StreamMode = "values",
        stream_eager: bool = False,
        interrupt_before_nodes: All | Sequence[str] = (),
        interrupt_after_nodes: All | Sequence[str] = (),
        step_timeout: float | None = None,
        debug: bool | None = None,
        checkpointer: Checkpointer = None,
        store: Any = None,
        cache: Any = None,
        retry_policy: RetryPolicy | Sequence[RetryPolicy] = (),
        cache_policy: CachePolicy | None = None,
        context_schema: Any = None,
        checks: Mapping[str, Callable[[Any], None]] | None = None,
        version: str | None = None,
        migrations: Sequence[Migration] = (),
        other_versions: Literal["latest", "refuse"] = "latest",
        name: str = "LangGraph",
        transformers: Sequence[Callable[[tuple[str, ...]], Any]] = (),
        busy: BusyPolicy = "wait",
        config: RunnableConfig | None = None,
    ) -> None:
        made = plan_of(nodes, channels, input_channels, output_channels, stream_channels)
        self.plan = made.with_defaults(policies_of(retry_policy), cache_policy)
        self.plan.checks = checks or {}
        if version is not None or migrations:
            from perdure.pregel.versions import Versions, fingerprint

            self.plan.versions = Versions(version or "", migrations, other_versions, fingerprint(self.plan))
        if auto_validate:
            validate(self.plan, interrupt_before_nodes, interrupt_after_nodes)
        self.stream_mode: StreamMode = stream_mode
        self.stream_eager = stream_eager
        self.step_timeout = step_timeout
        self.debug = bool(debug)
        self.observer: Any = None
        self.server_info: ServerInfo | None = None
        self.name = name
        self.transformers = tuple(transformers or ())
        self.checkpointer = adopted(ensure_valid_checkpointer(checkpointer))
        self.store = store
        self.cache = cache
        self.interrupt_before_nodes = interrupt_before_nodes
        self.interrupt_after_nodes = interrupt_after_nodes
        self.busy = _valid_busy(busy)
        self.config: RunnableConfig = config or {}
        self.context_schema = context_schema
        self.coerce_context = coercer(context_schema)

    @property
    def version(self) -> str | None:
        """The graph's version, if it has one."""
        return self.plan.versions.version if self.plan.versions is not None else None

    @property
    def nodes(self) -> dict[str, Node]:
        """The nodes by name."""
        return dict(self.plan.nodes)

    @property
    def channels(self) -> dict[str, BaseChannel[Any, Any, Any]]:
        """The channels by name."""
        return dict(self.plan.channels)

    def copy(self, update: dict[str, Any] | None = None) -> Self:
        """Return a copy with some attributes replaced."""
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        new.__dict__.update(update or {})
        return new

    def with_config(self, config: RunnableConfig | None = None, **kwargs: Any) -> Self:
        """Return a copy whose calls have this config by default."""
        return self.copy({"config": merge_configs(self.config, config, cast("RunnableConfig", kwargs))})

    def get_name(self) -> str:
        """Return the graph's name."""
        return self.name

    async def aget_graph(self, config: RunnableConfig | None = None, *, xray: int | bool = False) -> Any:
        """Do what `get_graph` does, for asynchronous code; nothing is waited for."""
        return self.get_graph(config, xray=xray)  # type: ignore[attr-defined]  # of those that have a drawing

    # -- the cache

    def clear_cache(self, nodes: Sequence[str] | None = None) -> None:
        """Forget what nodes have returned, in the cache of this graph.

        Args:
            nodes: Which; all that have a cache policy by default.

        Raises:
            UsageError: The graph was compiled without a cache.
        """
        self._cache().clear(self._cached(nodes))

    async def aclear_cache(self, nodes: Sequence[str] | None = None) -> None:
        """Async twin of `clear_cache`."""
        await self._cache().aclear(self._cached(nodes))

    def _cache(self) -> Any:
        if self.cache is None:
            raise UsageError("the graph has no cache", hint="compile it with one: compile(cache=InMemoryCache())")
        return self.cache

    def _cached(self, nodes: Sequence[str] | None) -> list[tuple[str, ...]]:
        from perdure.pregel.caching import namespace_of

        return [namespace_of(node) for name, node in self.plan.nodes.items() if nodes is None or name in nodes]

    # -- run

    def stream(
        self,
        input: Any,
        config: RunnableConfig | None = None,
        *,
        context: Any = None,
        stream_mode: StreamMode | Sequence[StreamMode] | None = None,
        print_mode: StreamMode | Sequence[StreamMode] = (),
        output_keys: str | Sequence[str] | None = None,
        interrupt_before: All | Sequence[str] | None = None,
        interrupt_after: All | Sequence[str] | None = None,
        durability: Durability | None = None,
        control: RunControl | None = None,
        subgraphs: bool = False,
        debug: bool | None = None,
        version: Literal["v1", "v2"] = "v1",
        busy: BusyPolicy | None = None,
    ) -> Iterator[Any]:
        """Run the graph and yield what happens, as it happens.

        Args:
            input: The input; None to resume; a `Command` to answer, update or go somewhere.
            config: `{"configurable": {"thread_id": ...}}` names the thread; `checkpoint_id` starts from an old one.
            context: For the nodes' `runtime.context`.
            stream_mode: What to tell; a list tells (mode, payload) pairs.
            print_mode: Modes to print as well.
            output_keys: Channels that `values` and `updates` show.
            interrupt_before: Nodes before which to stop.
            interrupt_after: Nodes after which to stop.
            durability: `sync`, `async` (default) or `exit`.
            control: A handle by which to ask the run to stop between two supersteps.
            subgraphs: Tell of graphs called from nodes too, each event with its namespace.
            debug: Print what happens, as `print_mode="debug"`.
            version: `v2` yields dicts with `type`, `ns` and `data`.
            busy: What to do when another call runs the thread: `wait`, `reject` or `interrupt`.

        Yields:
            Payloads of the stream modes.
        """
        asked = _Stream(
            self,
            config,
            (stream_mode, print_mode, version),
            debug=debug,
            subgraphs=subgraphs,
            output_keys=output_keys,
            interrupt_before=interrupt_before,
            interrupt_after=interrupt_after,
            durability=durability,
            context=context,
            control=control,
        )
        with closing(self.drive(asked.call, asked.run, asked.run.loop(input), busy)) as events:
            for event in events:
                yield from asked.parts(event)

    async def astream(
        self,
        input: Any,
        config: RunnableConfig | None = None,
        *,
        context: Any = None,
        stream_mode: StreamMode | Sequence[StreamMode] | None = None,
        print_mode: StreamMode | Sequence[StreamMode] = (),
        output_keys: str | Sequence[str] | None = None,
        interrupt_before: All | Sequence[str] | None = None,
        interrupt_after: All | Sequence[str] | None = None,
        durability: Durability | None = None,
        control: RunControl | None = None,
        subgraphs: bool = False,
        debug: bool | None = None,
        version: Literal["v1", "v2"] = "v1",
        busy: BusyPolicy | None = None,
    ) -> AsyncIterator[Any]:
        """Do what `stream` does, asynchronously; plain functions run in threads."""
        asked = _Stream(
            self,
            config,
            (stream_mode, print_mode, version),
            debug=debug,
            subgraphs=subgraphs,
            output_keys=output_keys,
            interrupt_before=interrupt_before,
            interrupt_after=interrupt_after,
            durability=durability,
            context=context,
            control=control,
        )
        async with aclosing(self.adrive(asked.call, asked.run, asked.run.loop(input), busy)) as events:
            async for event in events:
                for part in asked.parts(event):
                    yield part

    def stream_events(
        self,
        input: Any,
        config: RunnableConfig | None = None,
        *,
        version: Literal["v3"] = "v3",
        transformers: Sequence[Callable[[tuple[str, ...]], Any]] | None = None,
        **options: Any,
    ) -> GraphRunStream:
        """Run the graph as a stream with projections: `values`, `messages`, `subgraphs`, `lifecycle`, `output`, ...

        Nothing happens before something is read from it; see `perdure.stream`.

        Args:
            input: As for `stream`.
            config: As for `stream`.
            version: Of the protocol; only `v3` is known.
            transformers: Classes (or functions of a namespace) that make further projections, such as
                `CustomTransformer`.
            options: As for `stream`: `context`, `durability`, `control`, ...
        """
        from perdure.stream.run_stream import modes_of, streamed

        _check_protocol(version)
        made = (*self.transformers, *(transformers or ()))
        modes: Any = modes_of(made, is_async=False)
        parts = self.stream(input, config, stream_mode=modes, subgraphs=True, version="v2", **options)
        return streamed(parts, made)

    def astream_events(
        self,
        input: Any,
        config: RunnableConfig | None = None,
        *,
        version: Literal["v3"] = "v3",
        transformers: Sequence[Callable[[tuple[str, ...]], Any]] | None = None,
        **options: Any,
    ) -> AsyncGraphRunStream:
        """Do what `stream_events` does, asynchronously: projections are read with `async for`, `output()` awaited."""
        from perdure.stream.run_stream import astreamed, modes_of

        _check_protocol(version)
        made = (*self.transformers, *(transformers or ()))
        modes: Any = modes_of(made, is_async=True)
        parts = self.astream(input, config, stream_mode=modes, subgraphs=True, version="v2", **options)
        return astreamed(parts, made)

    def invoke(
        self,
        input: Any,
        config: RunnableConfig | None = None,
        *,
        context: Any = None,
        stream_mode: StreamMode = "values",
        print_mode: StreamMode | Sequence[StreamMode] = (),
        output_keys: str | Sequence[str] | None = None,
        interrupt_before: All | Sequence[str] | None = None,
        interrupt_after: All | Sequence[str] | None = None,
        durability: Durability | None = None,
        control: RunControl | None = None,
        version: Literal["v1", "v2"] = "v1",
        busy: BusyPolicy | None = None,
    ) -> Any:
        """Run the graph to its end or to its next question, and return the output.

        The arguments are those of `stream`. Open questions are in the output under `__interrupt__`
        (with `version="v2"` in `GraphOutput.interrupts`). With a `stream_mode` other than `values`, the list of
        payloads is returned.
        """
        options: dict[str, Any] = {
            "output_keys": output_keys if output_keys is not None else self.plan.output_channels,
            "interrupt_before": interrupt_before,
            "interrupt_after": interrupt_after,
            "durability": durability,
            "context": context,
            "control": control,
        }
        if stream_mode != "values":
            return list(
                self.stream(
                    input, config, stream_mode=stream_mode, print_mode=print_mode, version=version, busy=busy, **options
                )
            )
        if print_mode or self.debug:
            asked = _Stream(self, config, ((), print_mode, version), debug=None, subgraphs=False, **options)
            for event in self.drive(asked.call, asked.run, asked.run.loop(input), busy):
                list(asked.parts(event))
            return self._result(asked.run, version)
        call = Call(self, config)
        run = Run(call.settings(**options))
        for _ in self.drive(call, run, run.loop(input), busy):
            pass
        return self._result(run, version)

    async def ainvoke(
        self,
        input: Any,
        config: RunnableConfig | None = None,
        *,
        context: Any = None,
        stream_mode: StreamMode = "values",
        print_mode: StreamMode | Sequence[StreamMode] = (),
        output_keys: str | Sequence[str] | None = None,
        interrupt_before: All | Sequence[str] | None = None,
        interrupt_after: All | Sequence[str] | None = None,
        durability: Durability | None = None,
        control: RunControl | None = None,
        version: Literal["v1", "v2"] = "v1",
        busy: BusyPolicy | None = None,
    ) -> Any:
        """Do what `invoke` does, asynchronously; plain functions run in threads."""
        options: dict[str, Any] = {
            "output_keys": output_keys if output_keys is not None else self.plan.output_channels,
            "interrupt_before": interrupt_before,
            "interrupt_after": interrupt_after,
            "durability": durability,
            "context": context,
            "control": control,
        }
        if stream_mode != "values":
            chunks = self.astream(
                input, config, stream_mode=stream_mode, print_mode=print_mode, version=version, busy=busy, **options
            )
            return [chunk async for chunk in chunks]
        if print_mode or self.debug:
            asked = _Stream(self, config, ((), print_mode, version), debug=None, subgraphs=False, **options)
            async for event in self.adrive(asked.call, asked.run, asked.run.loop(input), busy):
                list(asked.parts(event))
            return self._result(asked.run, version)
        call = Call(self, config)
        run = Run(call.settings(**options))
        async for _ in self.adrive(call, run, run.loop(input), busy):
            pass
        return self._result(run, version)

    def _result(self, run: Run, version: str) -> Any:
        if version == "v2":
            value = run.machine.read(run.settings.output_keys)
            return GraphOutput(self.coerce_output(value), run.interrupts)
        if version != "v1":
            msg = f"version must be 'v1' or 'v2', not {version!r}"
            raise InvalidConfigError(msg)
        return run.output()

    def coerce_output(self, value: Any) -> Any:
        """Turn the dict of output channels into the output schema, for `version="v2"`."""
        return value

    def drive(self, call: Call, run: Run, loop: Loop, busy: BusyPolicy | None) -> Generator[Event, None, None]:
        """Drive a run, in its thread's turn."""
        if run.observer is not None:
            loop = run.observer.loop(run, self.name, loop)
        wanted = self._turn_of(call, run, busy)
        taken = None if wanted is None else turns.take(*wanted)
        run.turn = taken or run.turn
        is_unpaid = False
        try:
            yield from sync.drive(run, loop)
        finally:
            if taken is not None:
                turns.give_back(taken)
            is_unpaid = bool(run.owed) and owed.drop(run.owed)
        if is_unpaid:
            raise owed.unpaid()

    async def adrive(self, call: Call, run: Run, loop: Loop, busy: BusyPolicy | None) -> AsyncGenerator[Event, None]:

        from perdure.pregel import aio  # asyncio is a third of the import time: only who needs it pays

        if run.observer is not None:
            loop = run.observer.loop(run, self.name, loop)
        wanted = self._turn_of(call, run, busy)
        taken = None if wanted is None else await turns.atake(*wanted)
        run.turn = taken or run.turn
        try:
            async with aclosing(aio.adrive(run, loop)) as events:
                async for event in events:
                    yield event
        finally:
            try:
                await owed.settle(run.owed)
            finally:
                if taken is not None:
                    await turns.agive_back(taken)

    def _turn_of(self, call: Call, run: Run, busy: BusyPolicy | None) -> tuple[Any, str, BusyPolicy] | None:
        """Return whose turn a run has to take; None if it needs none: nothing is stored, or it is part of another."""
        if run.parent is not None or run.saver is None:
            return None
        call.refuse_reentry()
        return run.saver, cast("str", run.thread_id), _valid_busy(busy or self.busy)

    def batch(
        self,
        inputs: Sequence[Any],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Any]:
        """Invoke the graph on each input, several at once in threads (`max_concurrency` of the config).

        Returns:
            The outputs in the order of the inputs; exceptions in their place if `return_exceptions`.
        """
        configs = _configs(config, len(inputs))
        if not inputs:
            return []

        def one(value: Any, config: RunnableConfig | None) -> Any:
            try:
                return self.invoke(value, config, **kwargs)
            except Exception as error:
                if return_exceptions:
                    return error
                raise

        limit = (configs[0] or {}).get("max_concurrency")
        with ThreadPoolExecutor(limit or min(32, len(inputs))) as pool:
            futures = [
                pool.submit(copy_context().run, one, value, config)
                for value, config in zip(inputs, configs, strict=True)
            ]
            return [future.result() for future in futures]

    async def abatch(
        self,
        inputs: Sequence[Any],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Any]:
        """Do what `batch` does, asynchronously."""
        import asyncio

        configs = _configs(config, len(inputs))
        limit = (configs[0] or {}).get("max_concurrency") if configs else None
        gate = asyncio.Semaphore(limit or max(1, len(inputs)))

        async def one(value: Any, config: RunnableConfig | None) -> Any:
            async with gate:
                return await self.ainvoke(value, config, **kwargs)

        calls = [one(value, config) for value, config in zip(inputs, configs, strict=True)]
        return await asyncio.gather(*calls, return_exceptions=return_exceptions)

    # -- recovery

    def resume_all(
        self,
        thread_ids: Iterable[str] | None = None,
        *,
        failed: bool = False,
        max_concurrency: int = 4,
        **options: Any,
    ) -> list[Recovered]:
        """Take up what was left: runs whose process died, or that were drained or abandoned.

        Threads that wait for an answer, at a breakpoint, or that a person has changed since are let be; so are those
        that somebody runs, and those of other graphs with channels that this one doesn't have. Any number of processes
        may do this at once: each thread is taken up by one.

        Args:
            thread_ids: Which threads to look at; all of the saver's by default.
            failed: Take up runs that ended by an error too.
            max_concurrency: How many runs at once.
            options: For each run: `context`, `durability`, `control`.

        Returns:
            The threads that were taken up. What a run raised is told here, and stops no other.

        Raises:
            InvalidConfigError: The graph has no saver.
        """
        saver = self._saver_for({})
        taken: list[Recovered] = []
        with ThreadPoolExecutor(max_concurrency, thread_name_prefix="perdure-resume") as pool:
            for page in recovery.pages(saver.threads() if thread_ids is None else thread_ids):
                runs = [
                    pool.submit(copy_context().run, self._take_up, thread_id, failed, options) for thread_id in page
                ]
                taken += [found for run in runs if (found := run.result()) is not None]
        return taken

    def _take_up(self, thread_id: str, failed: bool, options: dict[str, Any]) -> Recovered | None:
        going_on = recovery.GoingOn(self, thread_id, options, failed=failed)
        try:
            if answer(self._saver_for({}), going_on.is_wanted()):
                for _ in self.drive(going_on.call, going_on.run, going_on.loop(), "reject"):
                    pass
        except Exception as error:  # noqa: BLE001 - told to the caller, beside the other threads
            return going_on.failed_with(error)
        return going_on.outcome()

    async def aresume_all(
        self,
        thread_ids: Iterable[str] | None = None,
        *,
        failed: bool = False,
        max_concurrency: int = 4,
        **options: Any,
    ) -> list[Recovered]:
        """Do what `resume_all` does, asynchronously."""
        import asyncio

        saver = self._saver_for({})
        gate = asyncio.Semaphore(max_concurrency)

        async def take_up(thread_id: str) -> Recovered | None:
            async with gate:
                return await self._atake_up(thread_id, failed, options)

        ids = [thread_id async for thread_id in saver.athreads()] if thread_ids is None else thread_ids
        taken: list[Recovered] = []
        for page in recovery.pages(ids):
            taken += [found for found in await asyncio.gather(*map(take_up, page)) if found is not None]
        return taken

    async def _atake_up(self, thread_id: str, failed: bool, options: dict[str, Any]) -> Recovered | None:
        going_on = recovery.GoingOn(self, thread_id, options, failed=failed)
        try:
            if await aanswer(self._saver_for({}), going_on.is_wanted()):
                async for _ in self.adrive(going_on.call, going_on.run, going_on.loop(), "reject"):
                    pass
        except Exception as error:  # noqa: BLE001 - told to the caller, beside the other threads
            return going_on.failed_with(error)
        return going_on.outcome()


def _configs(config: RunnableConfig | Sequence[RunnableConfig] | None, count: int) -> list[RunnableConfig | None]:
    if config is None or isinstance(config, dict):
        return [config] * count
    if len(config) != count:
        msg = f"batch got {count} inputs and {len(config)} configs"
        raise InvalidConfigError(msg)
    return list(config)


class _Stream:
    """A run that somebody streams, and the form in which they want its events.

    Args:
        form: The modes to tell, the modes to print, and the version of the form.
        debug: Whether to print the mode `debug`; None: as the graph says.
        options: For the run's settings.
    """

    def __init__(
        self,
        graph: Pregel,
        config: RunnableConfig | None,
        form: tuple[Any, Any, Literal["v1", "v2"]],
        *,
        debug: bool | None,
        subgraphs: bool,
        **options: Any,
    ) -> None:
        told, printed, version = form
        self.modes, many = parse_modes(told, graph.stream_mode)
        self.printed = (printed,) if isinstance(printed, str) else tuple(printed)
        if graph.debug if debug is None else debug:
            self.printed = (*self.printed, "debug")
        self.shape = Shaper(version, many=many, subgraphs=subgraphs, coerce=graph.coerce_output)
        self.call = Call(graph, config)
        modes = (*self.modes, *self.printed)
        self.run = Run(self.call.settings(modes=modes, subgraphs=subgraphs, **options))

    def parts(self, event: Event) -> Iterator[Any]:
        """Yield an event in the caller's form, if they want it; print it, if they want that."""
        if event[1] in self.printed:
            print(self.shape(event))  # noqa: T201 - the caller asked for it
        if event[1] in self.modes:
            yield self.shape(event)


def _check_protocol(version: str) -> None:
    if version != "v3":
        raise InvalidConfigError(
            f"stream_events knows version 'v3', not {version!r}",
            hint="v1 and v2 are LangChain's; a graph's own events are in stream and astream",
        )


def _valid_busy(busy: str) -> BusyPolicy:
    if busy not in BUSY_POLICIES:
        msg = f"busy must be one of {', '.join(BUSY_POLICIES)}, not {busy!r}"
        raise InvalidConfigError(msg)
    return cast("BusyPolicy", busy)
