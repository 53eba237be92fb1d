"""The functional API: durable workflows as plain functions.

`@entrypoint` makes a graph of one function; `@task` marks functions whose results are kept: a workflow that runs again,
after a question, a failure or a crash, gets them back instead of calling again.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

from perdure.channels import EphemeralValue, LastValue
from perdure.checkpoint.serde.schemas import collect_types
from perdure.constants import END, PREVIOUS, START
from perdure.errors import GraphValidationError, UsageError
from perdure.graph.drawing import DrawnEdge, DrawnNode, Graph
from perdure.graph.schema import json_schema
from perdure.pregel.action import Action, name_of, timeout_of
from perdure.pregel.caching import namespace_of
from perdure.pregel.called import call_node
from perdure.pregel.main import Pregel
from perdure.pregel.plan import Node, ValueReader, policies_of
from perdure.runtime import current_task
from perdure.types import CachePolicy, RetryPolicy, TimeoutPolicy

if TYPE_CHECKING:
    from perdure.cache.base import BaseCache
    from perdure.pregel.called import CallFuture
    from perdure.pregel.task import Task
    from perdure.types import BusyPolicy, Checkpointer, RunnableConfig

__all__ = ["entrypoint", "task"]

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
S = TypeVar("S")
V = TypeVar("V")
W = TypeVar("W")

Seconds = float | timedelta | TimeoutPolicy


class UnsupportedFunctionError(UsageError, NotImplementedError):
    """A kind of function that the functional API can't run."""


def _refuse_generator(function: Callable[..., Any]) -> None:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise UnsupportedFunctionError(
            f"{function.__qualname__} is a generator function, and the functional API runs functions that return",
            hint="return a list, and send what shall be seen early by get_stream_writer()",
        )


class TaskFunction(Generic[P, T]):
    """A function whose calls, made in a node or an entrypoint, are kept; made by `task`."""

    def __init__(self, function: Callable[P, Any], node: Node) -> None:
        functools.update_wrapper(self, function)
        self.func = function
        self.name = node.name
        self._node = node

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> CallFuture[T]:
        """Begin a call.

        Returns:
            A future: wait for `.result()` in a plain function, `await` it in a coroutine. Several calls run at once.

        Raises:
            UsageError: This isn't a node or an entrypoint.
        """
        scope = current_task(f"the task {self.name!r}")
        return cast("CallFuture[T]", scope.calls.call(self._node, (args, kwargs)))

    def clear_cache(self, cache: BaseCache[Any]) -> None:
        """Forget what the task has returned, in a cache."""
        cache.clear([namespace_of(self._node)])

    async def aclear_cache(self, cache: BaseCache[Any]) -> None:
        """Async twin of `clear_cache`."""
        await cache.aclear([namespace_of(self._node)])

    def __repr__(self) -> str:
        return f"<task {self.name}>"


class _Decorator(Protocol):
    """What `task` with arguments is: it tells the type of a coroutine function's result too."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, T]], /) -> TaskFunction[P, T]: ...

    @overload
    def __call__(self, function: Callable[P, T], /) -> TaskFunction[P, T]: ...


@overload
def task(__func_or_none__: Callable[P, Coroutine[Any, Any, T]], /) -> TaskFunction[P, T]: ...


@overload
def task(__func_or_none__: Callable[P, T], /) -> TaskFunction[P, T]: ...


@overload
def task(
    __func_or_none__: None = None,
    /,
    *,
    name: str | None = None,
    retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
    cache_policy: CachePolicy | None = None,
    timeout: Seconds | None = None,
) -> _Decorator: ...


def task(
    __func_or_none__: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
    cache_policy: CachePolicy | None = None,
    timeout: Seconds | None = None,
) -> Any:
    """Make a function's calls part of a workflow: concurrent, retried by policy, and kept.

    A call returns a future. Its result is durable before anybody gets it; when the entrypoint or node that made the
    call runs again, the call isn't made again. Calls are told from each other by their order and their task's name. So
    a workflow must make them in the same order each time: what differs from run to run (time, chance, the outside
    world) belongs inside of tasks.

    Args:
        __func_or_none__: The function, when used without arguments.
        name: Its name in streams; the function's own by default.
        retry_policy: When and how often to try again.
        cache_policy: How its results may be used again for the same arguments; needs the workflow's `cache`.
        timeout: Seconds that an attempt of a coroutine function may take.

    Raises:
        UnsupportedFunctionError: It is a generator function.
    """

    def decorate(function: Callable[..., Any]) -> TaskFunction[..., Any]:
        _refuse_generator(function)
        timeout_policy = timeout_of(name or name_of(function), Action(function), timeout)
        made = call_node(name or name_of(function), function, policies_of(retry_policy), timeout_policy, cache_policy)
        return TaskFunction(function, made)

    return decorate if __func_or_none__ is None else decorate(__func_or_none__)


def _write(result: Any, task: Task) -> None:
    """Write what the caller gets, and what the next run gets."""
    final = result if isinstance(result, entrypoint.final) else entrypoint.final(value=result, save=result)
    task.writes += [(END, final.value), (PREVIOUS, final.save)]


class Workflow(Pregel):
    """A graph made of one function by `entrypoint`."""

    def __init__(self, *, function: Callable[..., Any], **options: Any) -> None:
        super().__init__(stream_mode="updates", stream_eager=True, **options)
        functools.update_wrapper(cast("Any", self), function, updated=())
        hints = _hints(function)
        parameter = next(iter(inspect.signature(function).parameters))
        self.input_schema = hints.get(parameter, Any)
        returned = hints.get("return", Any)
        self.output_schema = get_args(returned)[0] if get_origin(returned) is entrypoint.final else returned
        register = getattr(self.checkpointer, "register_types", None)
        if register is not None:
            for schema in (self.input_schema, self.output_schema, self.context_schema):
                if schema is not None and schema is not Any:
                    register(collect_types(schema))

    def get_graph(self, config: RunnableConfig | None = None, *, xray: int | bool = False) -> Graph:
        """Return the workflow's drawing: one node, for what it calls is known only when it runs."""
        drawing = Graph()
        (name,) = self.plan.nodes
        drawing.nodes = {id_: DrawnNode(id_, id_) for id_ in (START, name, END)}
        drawing.edges = [DrawnEdge(START, name), DrawnEdge(name, END)]
        return drawing

    def get_input_jsonschema(self, config: RunnableConfig | None = None) -> dict[str, Any]:
        """Return the JSON schema of what a run takes."""
        return json_schema(self.input_schema, f"{self.name}Input")

    def get_output_jsonschema(self, config: RunnableConfig | None = None) -> dict[str, Any]:
        """Return the JSON schema of what a run returns."""
        return json_schema(self.output_schema, f"{self.name}Output")

    def get_context_jsonschema(self) -> dict[str, Any] | None:
        """Return the JSON schema of the run's context, if there is one."""
        return None if self.context_schema is None else json_schema(self.context_schema, f"{self.name}Context")


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except (NameError, TypeError, AttributeError):  # hints are a convenience
        return {}


class entrypoint(Generic[R, S]):  # noqa: N801 - a decorator, with the name that users know
    """Make a workflow of a function: a graph with the methods of every other (`invoke`, `stream`, `get_state`, ...).

    The function's first parameter is the run's input; it may also take `previous` (what the thread's last run
    returned), `runtime`, `config`, `store` and `writer`. Its return value is the run's output and the next run's
    `previous`; `entrypoint.final(value=..., save=...)` tells them apart.

    Args:
        checkpointer: A saver: runs are durable, may `interrupt`, and remember `previous`.
        store: Memory across threads.
        cache: Keeps what tasks with a cache policy return.
        context_schema: The type of the run's `context`.
        cache_policy: How the workflow's own results may be used again for the same input.
        retry_policy: When and how often to run the function again.
        timeout: Seconds that an attempt of a coroutine function may take.
        busy: What a call does when another one runs its thread: `wait`, `reject` or `interrupt`.

    Raises:
        UnsupportedFunctionError: It is a generator function.
        GraphValidationError: It takes no input.
    """

    @dataclasses.dataclass(frozen=True, slots=True)
    class final(Generic[V, W]):  # noqa: N801 - as the decorator
        """What an entrypoint returns when its caller shall get another value than the next run.

        Args:
            value: For the caller.
            save: For the next run's `previous`.
        """

        value: V
        save: W

    def __init__(
        self,
        checkpointer: Checkpointer = None,
        store: Any = None,
        cache: Any = None,
        context_schema: type[Any] | None = None,
        cache_policy: CachePolicy | None = None,
        retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
        timeout: Seconds | None = None,
        *,
        busy: BusyPolicy = "wait",
    ) -> None:
        self._options: dict[str, Any] = {"checkpointer": checkpointer, "store": store, "cache": cache, "busy": busy}
        self._context_schema = context_schema
        self._retry = policies_of(retry_policy)
        self._cache_policy = cache_policy
        self._timeout = timeout

    def __call__(self, func: Callable[..., Any]) -> Workflow:
        """Make the workflow."""
        _refuse_generator(func)
        name = name_of(func)
        parameters = list(inspect.signature(func).parameters.values())
        if not parameters or parameters[0].kind is inspect.Parameter.KEYWORD_ONLY:
            raise GraphValidationError(
                f"the entrypoint {name!r} takes no input",
                hint=f"def {name}(input): ...: the first parameter is the input",
            )
        action = Action(func)
        node = Node(
            name,
            action,
            (START,),
            ValueReader(START),
            _write,
            retry=self._retry,
            cache=self._cache_policy,
            timeout=timeout_of(name, action, self._timeout),
        )
        return Workflow(
            function=func,
            context_schema=self._context_schema,
            nodes={name: node},
            channels={
                START: EphemeralValue(Any, True, START),
                END: LastValue(Any, END),
                PREVIOUS: LastValue(Any, PREVIOUS),
            },
            input_channels=START,
            output_channels=END,
            stream_channels=END,
            name=name,
            **self._options,
        )
