"""What a node or a branch calls: a function, coroutine function or runnable, with the arguments it asks for."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from perdure.errors import GraphValidationError, NodeError, UsageError
from perdure.types import RunnableConfig, TimeoutPolicy

if TYPE_CHECKING:
    from perdure.pregel.scope import TaskScope

INJECTED: dict[str, Callable[[TaskScope], Any]] = {
    "config": lambda scope: scope.config(),
    "runtime": lambda scope: scope.runtime(),
    "writer": lambda scope: scope.writer,
    "store": lambda scope: scope.run.store,
    "previous": lambda scope: scope.run.previous,
    "error": lambda scope: scope.task.error,
}
"""Parameter names that a node may have beside its input, and where each comes from."""


_BY_ANNOTATION: dict[Any, str] = {RunnableConfig: "config", NodeError: "error"}
"""Annotations that a parameter of any name may have, and what they ask for."""


def _unwrap(fn: Any) -> Any:
    while isinstance(fn, partial):
        fn = fn.func
    return fn


def is_coroutine_function(fn: Any) -> bool:
    """Tell whether calling something makes a coroutine."""
    fn = _unwrap(fn)
    return inspect.iscoroutinefunction(fn) or (
        not inspect.isroutine(fn)
        and not inspect.isclass(fn)
        and inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004 - the method itself is asked
    )


def name_of(fn: Any) -> str:
    """Return the name that a node gets from its action.

    Raises:
        GraphValidationError: The action has no name.
    """
    inner = _unwrap(fn)
    for attribute in ("name", "__name__"):
        name = getattr(inner, attribute, None)
        if isinstance(name, str) and name:
            return name
    if callable(inner):
        return type(inner).__name__
    msg = f"a node needs a name: {fn!r} has none"
    raise GraphValidationError(msg, hint="use add_node('name', action)")


Wanted = tuple[tuple[str, Callable[[Any], Any]], ...]


def _wanted(fn: Any) -> Wanted:
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError):  # builtins without a signature take the input alone
        return ()
    wanted = []
    for at, parameter in enumerate(parameters):
        keyword_only = parameter.kind is parameter.KEYWORD_ONLY
        if (at == 0 and not keyword_only) or parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
            parameter.POSITIONAL_ONLY,
        ):
            continue
        source = INJECTED.get(parameter.name)
        if source is None:
            source = INJECTED.get(_BY_ANNOTATION.get(parameter.annotation, ""))
        if source is not None:
            wanted.append((parameter.name, source))
    return tuple(wanted)


class Action:
    """A callable in both colours.

    Args:
        target: A function, a coroutine function, a callable object, or an object with `invoke`/`ainvoke`.

    Raises:
        GraphValidationError: It is none of these.
    """

    __slots__ = ("call", "is_async", "is_runnable", "plain", "run", "runs_in_thread", "target")

    call: Callable[[Any, TaskScope], Any]
    """Calls the target with the input and what it asks for; a coroutine if the target is one."""
    plain: Callable[[Any], Any] | None
    """The target, if it is a plain function that takes nothing but the input."""
    run: Callable[[Any, TaskScope], Any]
    """Calls the target from synchronous code; raises `NoSyncActionError` if it can't be."""
    runs_in_thread: bool
    """Whether asynchronous code runs it in a thread, where it can't be cancelled."""

    def __init__(self, target: Any) -> None:
        self.target = target
        self.is_runnable = not inspect.isclass(target) and callable(getattr(target, "invoke", None))
        if not self.is_runnable and not callable(target):
            msg = f"a node must be callable or have an invoke method, and {target!r} isn't"
            raise GraphValidationError(msg)
        yields = None if self.is_runnable else _yields(target)
        self.is_async = yields == "async" or (not self.is_runnable and is_coroutine_function(target))
        wanted = () if self.is_runnable else _wanted(target)
        self.call = self._pick(wanted)
        if yields is not None:
            self.call = _run_to_its_end(self.call, yields)
        self.plain = None if wanted or self.is_runnable or self.is_async or yields is not None else target
        self.run = refuse if self.is_async else self.call
        self.runs_in_thread = not self.is_async and not (self.is_runnable and hasattr(target, "ainvoke"))

    def _pick(self, wanted: Wanted) -> Callable[[Any, TaskScope], Any]:
        target = self.target
        if self.is_runnable:
            return lambda value, scope: target.invoke(value, scope.config())
        if not wanted:
            return lambda value, _scope: target(value)
        return lambda value, scope: target(value, **{name: source(scope) for name, source in wanted})

    async def arun(self, value: Any, scope: TaskScope) -> Any:
        """Call it from asynchronous code; a plain function runs in a thread, so that it can't block the loop."""
        if self.is_async:
            return await self.call(value, scope)
        if self.is_runnable:
            ainvoke = getattr(self.target, "ainvoke", None)
            if ainvoke is not None:
                return await ainvoke(value, scope.config())
        from perdure.pregel.crew import in_thread  # asyncio is a third of the import time

        result = await in_thread(self.call, value, scope)
        return await result if inspect.isawaitable(result) else result


def _yields(fn: Any) -> Literal["sync", "async"] | None:
    """Tell whether calling something makes a generator, and of which colour."""
    fn = _unwrap(fn)
    for one in (fn, None if inspect.isclass(fn) or inspect.isroutine(fn) else getattr(fn, "__call__", None)):  # noqa: B004
        if inspect.isgeneratorfunction(one):
            return "sync"
        if inspect.isasyncgenfunction(one):
            return "async"
    return None


def _run_to_its_end(call: Callable[[Any, TaskScope], Any], yields: str) -> Callable[[Any, TaskScope], Any]:
    from perdure.pregel.passing import aresult_of, result_of

    run: Callable[[Any, TaskScope], Any] = result_of if yields == "sync" else aresult_of
    return lambda value, scope: run(call(value, scope), scope)


def timeout_of(
    name: str, action: Action | None, given: float | timedelta | TimeoutPolicy | None
) -> TimeoutPolicy | None:
    """Return the policy of a node's timeout.

    Raises:
        GraphValidationError: The node's function runs in a thread, where nothing can stop it.
    """
    if given is not None and (action is None or action.runs_in_thread):
        raise GraphValidationError(
            f"node {name!r} has a timeout and is a plain function, which can't be stopped",
            hint="make it a coroutine function (async def)",
            node=name,
        )
    return TimeoutPolicy.of(given)


def refuse(_value: Any, scope: TaskScope) -> Any:
    """Stand for a coroutine function in synchronous code.

    Raises:
        NoSyncActionError: Always.
    """
    msg = f"node {scope.task.name!r} is a coroutine function, and the graph was called synchronously"
    raise NoSyncActionError(msg, hint="call the graph with ainvoke or astream")


class NoSyncActionError(UsageError, TypeError):
    """An asynchronous node in a synchronous call."""
