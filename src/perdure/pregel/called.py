"""Calls that a task makes and whose results are kept.

1. A call's id comes of the task that makes it and of the call's place among the task's calls, or of the key that the
   caller names. So a task that runs again, after a question, a failure or a crash, finds what its calls returned.
2. A result is durable before anybody gets it. So a call whose result was seen never runs again for the same task.
   (With durability `exit` it is durable when the run stops, and kept in memory until then.)
3. A task ends only when the calls that it made have ended.
4. A question asked in a call stops the task that waits for it; the answers that a call has used are kept with it.
"""

from __future__ import annotations

import contextvars
import inspect
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from perdure.channels.base import MISSING
from perdure.checkpoint.serde.types import RESUME
from perdure.constants import PUSH, RETURN
from perdure.errors import GraphInterrupt, SerializationError, UsageError
from perdure.pregel.action import INJECTED, Action, is_coroutine_function, refuse
from perdure.pregel.driver import DEFAULT_CONCURRENCY
from perdure.pregel.execute import run_task
from perdure.pregel.plan import Node, StateReader
from perdure.pregel.task import Task, planned_id, task_id

if TYPE_CHECKING:
    import asyncio

    from perdure.pregel.scope import TaskScope
    from perdure.types import CachePolicy, RetryPolicy, TimeoutPolicy

T = TypeVar("T")

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""What a call passes: positional arguments and keywords."""


class CallFuture(Future[T], Generic[T]):
    """The result of a call, for synchronous code; can be awaited too."""

    def __await__(self) -> Generator[Any, None, T]:
        from asyncio import wrap_future

        return wrap_future(self).__await__()


class CallAction(Action):
    """A function that is called with arguments instead of a state; what it asks for by name is filled in."""

    __slots__ = ()

    def __init__(self, target: Callable[..., Any]) -> None:
        self.target = target
        self.is_runnable = False
        self.is_async = is_coroutine_function(target)
        signature = _signature(target)
        wanted = [name for name in (signature.parameters if signature else ()) if name in INJECTED]

        def plain(given: Arguments) -> Any:
            return target(*given[0], **given[1])

        def call(given: Arguments, scope: TaskScope) -> Any:
            args, kwargs = given
            if wanted and signature is not None:
                bound = signature.bind_partial(*args, **kwargs).arguments
                kwargs = {**{name: INJECTED[name](scope) for name in wanted if name not in bound}, **kwargs}
            return target(*args, **kwargs)

        self.call = call
        self.plain = None if wanted or self.is_async else plain
        self.run = refuse if self.is_async else call
        self.runs_in_thread = not self.is_async


def _signature(target: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(target)
    except (TypeError, ValueError):
        return None


def call_node(
    name: str,
    target: Callable[..., Any],
    retry: tuple[RetryPolicy, ...] = (),
    timeout: TimeoutPolicy | None = None,
    cache: CachePolicy | None = None,
) -> Node:
    """Return the node that a call of a function runs."""
    nothing = StateReader(())  # its input comes with the call
    return Node(name, CallAction(target), (PUSH,), nothing, _keep_result, retry=retry, timeout=timeout, cache=cache)


def _keep_result(result: Any, task: Task) -> None:
    task.writes.append((RETURN, result))


class Calls:
    """The calls of one attempt of a task.

    Args:
        scope: The task.
    """

    def __init__(self, scope: TaskScope) -> None:
        self._scope = scope
        self._run = scope.run
        self._count = 0
        self._made: list[Task] = []
        self._keys: dict[str, Task] = {}
        self._pending: list[Future[Any]] = []
        self._apending: list[asyncio.Future[Any]] = []
        self._pool: ThreadPoolExecutor | None = None

    # -- which call it is

    def make(self, node: Node, given: Arguments, key: str | None = None) -> Task:
        """Return the next call of the task, or the one that a key names.

        Raises:
            UsageError: The key names another call of this attempt already.
        """
        parent = self._scope.task
        place = key if key is not None else str(self._count)
        if key is None:
            self._count += 1
        elif key in self._keys:
            raise UsageError(
                f"the step {key!r} of node {parent.name!r} was asked for twice: a key names one call of a task",
                hint="give each call a key of its own, such as f'{name} {item_id}'",
                node=parent.name,
            )
        self._scope.sign(explicit=False)
        path = (PUSH, parent.path_text, place, node.name)
        made = Task(
            self.id_of(node.name, key, place), node.name, path, node, given, node.triggers, self._run.machine.ns
        )
        self._made.append(made)
        if key is not None:
            self._keys[key] = made
        return made

    def id_of(self, name: str, key: str | None, place: str = "") -> str:
        """Return a call's id: the same for every attempt of its task."""
        task, machine = self._scope.task, self._run.machine
        if key is None and task.failed is None:
            how = f"{PUSH}{task.path_text}{place}"
            return planned_id(machine.checkpoint_id or machine.salt, task.ns, machine.step, name, how)
        kind = "step" if key is not None else "call"
        part = "" if task.failed is None else "handler"
        return task_id("\0".join((task.id, part, kind, name, place or key or "")))

    def result(self, made: Task) -> Any:
        """Return what a call of an earlier attempt, or an earlier run, has returned; MISSING if there is nothing."""
        run = self._run
        if made.id in run.returned:
            return run.returned[made.id]
        for name, value in run.saved_writes(made.id):
            if name == RETURN:
                run.returned[made.id] = value
                return value
            if name == RESUME:
                made.resume = list(value)
        return MISSING

    # -- calling

    def call(self, node: Node, given: Arguments) -> Any:
        """Begin a call; return a future of its result.

        From a coroutine of an asynchronous run it is an asyncio task, else a `CallFuture` that a thread fulfils.
        """
        made = self.make(node, given)
        self._run.teller.call_begins(made)
        if self._scope.is_async and (loop := _running_loop()) is not None:
            return self._abegin(made, loop)
        future: CallFuture[Any] = CallFuture()
        if (known := self.result(made)) is not MISSING:
            future.set_result(known)
            return future
        if self._pool is None:
            limit = self._run.config.get("max_concurrency") or DEFAULT_CONCURRENCY
            self._pool = ThreadPoolExecutor(limit, thread_name_prefix="perdure-call")
        self._pending.append(future)
        self._pool.submit(contextvars.copy_context().run, self._work, made, future)
        return future

    def _work(self, made: Task, future: Future[Any]) -> None:
        try:
            self._do(made)
        except BaseException as error:  # noqa: BLE001 - belongs to whoever waits for the call
            made.failure = made.failure or error
        if made.failure is not None:
            future.set_exception(made.failure)
        else:
            future.set_result(made.writes[0][1])

    def _do(self, made: Task) -> None:
        """Run a call, or take what the cache has for it."""
        key = self._cache_key(made)
        if key is None:
            self._finish(run_task(self._run, made))
            return
        cache = self._run.cache
        if self._take(made, cache.get([key]).get(key, MISSING)):
            self._finish(made, cached=True)
            return
        self._finish(run_task(self._run, made))
        if made.failure is None:
            cache.set({key: (list(made.writes), made.node.cache.ttl)})  # type: ignore[union-attr]

    async def _ado(self, made: Task) -> None:
        from perdure.pregel.aexecute import arun_task

        key = self._cache_key(made)
        if key is None:
            await self._afinish(await arun_task(self._run, made))
            return
        cache = self._run.cache
        if self._take(made, (await cache.aget([key])).get(key, MISSING)):
            await self._afinish(made, cached=True)
            return
        await self._afinish(await arun_task(self._run, made))
        if made.failure is None:
            await cache.aset({key: (list(made.writes), made.node.cache.ttl)})  # type: ignore[union-attr]

    def _cache_key(self, made: Task) -> Any:
        if made.node.cache is None or self._run.cache is None:
            return None
        from perdure.pregel.caching import key_of

        return key_of(made.node, *made.input)

    @staticmethod
    def _take(made: Task, writes: Any) -> bool:
        if writes is MISSING:
            return False
        made.writes = [(name, value) for name, value in writes]
        return True

    def _abegin(self, made: Task, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Any]:
        future: asyncio.Future[Any]
        if (known := self.result(made)) is not MISSING:
            future = loop.create_future()
            future.set_result(known)
            return future
        future = loop.create_task(self._awork(made), name=made.name)
        self._apending.append(future)
        return future

    async def _awork(self, made: Task) -> Any:
        await self._ado(made)
        if made.failure is not None:
            raise made.failure
        return made.writes[0][1]

    # -- steps: called at once, in the task's own thread or coroutine

    def step(self, key: str, function: Callable[..., Any], given: Arguments) -> Any:
        """Call a function once for this task, whatever happens to it; return what it returned then."""
        made = self.make(call_node(key, function), given, key)
        if (known := self.result(made)) is not MISSING:
            return known
        self._finish(run_task(self._run, made))
        if made.failure is not None:
            raise made.failure
        return made.writes[0][1]

    async def astep(self, key: str, function: Callable[..., Any], given: Arguments) -> Any:
        """Async twin of `step`; the function may be either."""
        made = self.make(call_node(key, function), given, key)
        if (known := self.result(made)) is not MISSING:
            return known
        return await self._awork_here(made)

    async def _awork_here(self, made: Task) -> Any:
        from perdure.pregel.aexecute import InContext

        return await InContext(self._awork(made))

    # -- keeping

    def _finish(self, made: Task, *, cached: bool = False) -> None:
        """Make a call's result durable."""
        self._scope.commit(self._prepare(made))
        self._ended(made, cached=cached)

    async def _afinish(self, made: Task, *, cached: bool = False) -> None:
        await self._scope.acommit(self._prepare(made))
        self._ended(made, cached=cached)

    def _prepare(self, made: Task) -> list[Any]:
        try:
            return self._run.journal.call(made)
        except SerializationError as error:
            made.failure = error
            return []

    def _ended(self, made: Task, *, cached: bool) -> None:
        self._scope.sign(explicit=False)
        if made.failure is None:
            self._run.returned[made.id] = made.writes[0][1]
        if made not in self._keys.values():  # a step is the node's own business
            self._run.teller.call_ended(made, cached=cached)

    # -- the task's end

    def wait(self) -> None:
        """Wait until all calls have ended; their errors are their callers' business."""
        for future in self._pending:
            future.exception()
        if self._pool is not None:
            self._pool.shutdown()

    async def await_(self) -> None:
        """Async twin of `wait`; if the task is cancelled, so are its calls."""
        import asyncio

        if self._apending:
            try:
                await asyncio.wait(self._apending)
            except asyncio.CancelledError:
                for future in self._apending:
                    future.cancel()
                await asyncio.wait(self._apending)
                raise
        if self._pending:
            await asyncio.to_thread(self.wait)

    def questions(self) -> GraphInterrupt:
        """Return what all calls that stopped to ask have asked."""
        asked = {i.id: i for made in self._made for i in made.interrupts}
        return GraphInterrupt(tuple(asked.values()))


def _running_loop() -> asyncio.AbstractEventLoop | None:
    from asyncio import get_running_loop

    try:
        return get_running_loop()
    except RuntimeError:
        return None
