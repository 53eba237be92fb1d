"""Arguments that a tool gets from its run instead of the model: state, store, runtime."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args, get_origin, get_type_hints

from langchain_core.tools import BaseTool, InjectedToolArg
from langchain_core.tools.base import _DirectlyInjectedToolArg, get_all_basemodel_annotations
from pydantic_core.core_schema import any_schema

from perdure.errors import InvalidConfigError
from perdure.runtime import scope_var
from perdure.types import RunnableConfig

if TYPE_CHECKING:
    from perdure.runtime import ExecutionInfo, ServerInfo

__all__ = ["InjectedState", "InjectedStore", "ToolRuntime"]

ContextT = TypeVar("ContextT")
StateT = TypeVar("StateT")


class InjectedState(InjectedToolArg):
    """Marks a tool's parameter that gets the graph's state: `Annotated[dict, InjectedState]`.

    Args:
        field: Only this key of it: `Annotated[list, InjectedState("messages")]`.
    """

    def __init__(self, field: str | None = None) -> None:
        self.field = field


class InjectedStore(InjectedToolArg):
    """Marks a tool's parameter that gets the graph's store: `Annotated[BaseStore, InjectedStore()]`."""


@dataclasses.dataclass
class ToolRuntime(_DirectlyInjectedToolArg, Generic[ContextT, StateT]):
    """What a run offers to a tool; a tool gets it by a parameter of this type.

    Attributes:
        state: The graph's state.
        context: The run's context.
        config: The task's config.
        stream_writer: Sends a value to the stream mode `custom`.
        tool_call_id: Names the call.
        store: Memory across threads, if the graph has one.
        tools: All tools of the node.
        execution_info: Which task of which run this is.
        server_info: Where the run was started from, when a server started it.
    """

    state: StateT
    context: ContextT
    config: RunnableConfig
    stream_writer: Callable[[Any], None]
    tool_call_id: str | None
    store: Any
    tools: list[BaseTool] = dataclasses.field(default_factory=list)
    execution_info: ExecutionInfo | None = None
    server_info: ServerInfo | None = None

    def emit_output_delta(self, delta: Any) -> None:
        """Send a part of the tool's output to the stream mode `tools`, if somebody listens."""
        scope = scope_var.get()
        if scope is not None:
            scope.tell_tool({"event": "tool-output-delta", "tool_call_id": self.tool_call_id, "delta": delta})

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Let Pydantic take it as it is: it is handed in, never parsed."""
        return any_schema()


@dataclasses.dataclass(frozen=True)
class Injections:
    """The parameters of a tool that the model doesn't fill in.

    Attributes:
        state: By parameter, the key of the state that it gets; None for all of it.
        store: Parameters that get the store.
        runtime: Parameters that get the `ToolRuntime`.
    """

    state: Mapping[str, str | None]
    store: tuple[str, ...]
    runtime: tuple[str, ...]

    @property
    def names(self) -> set[str]:
        """All of them."""
        return {*self.state, *self.store, *self.runtime}

    def arguments(self, tool: str, state: Any, runtime: ToolRuntime[Any, Any]) -> dict[str, Any]:
        """Return the arguments for a call.

        Raises:
            InvalidConfigError: The tool wants a store, and there is none; or a key that the state lacks.
        """
        if self.store and runtime.store is None:
            raise InvalidConfigError(
                f"the tool {tool!r} wants a store, and the graph has none",
                hint="compile the graph with one: builder.compile(store=InMemoryStore())",
            )
        found = {name: _part(tool, state, key) for name, key in self.state.items()}
        found.update(dict.fromkeys(self.store, runtime.store))
        found.update(dict.fromkeys(self.runtime, runtime))
        return found


def _part(tool: str, state: Any, key: str | None) -> Any:
    if key is None:
        return state
    if isinstance(state, list):
        if key == "messages":
            return state
        msg = f"the tool {tool!r} wants {key!r} of the state, and the state is a list of messages"
        raise InvalidConfigError(msg)
    try:
        return state[key] if isinstance(state, Mapping) else getattr(state, key)
    except (KeyError, AttributeError) as error:
        msg = f"the tool {tool!r} wants {key!r} of the state, which isn't there"
        raise InvalidConfigError(msg, hint="InjectedState('...') names a key of the state schema") from error


def injections_of(tool: BaseTool) -> Injections:
    """Find the parameters of a tool that its run fills in."""
    state: dict[str, str | None] = {}
    store: list[str] = []
    runtime: list[str] = []
    for name, hint in _hints(tool).items():
        marks = get_args(hint)[1:] if hasattr(hint, "__metadata__") else ()
        bare = get_args(hint)[0] if hasattr(hint, "__metadata__") else hint
        if (get_origin(bare) or bare) is ToolRuntime:
            runtime.append(name)
        for mark in marks:
            if isinstance(mark, InjectedState):
                state[name] = mark.field
            elif mark is InjectedState:
                state[name] = None
            elif mark is InjectedStore or isinstance(mark, InjectedStore):
                store.append(name)
    return Injections(state, tuple(store), tuple(runtime))


def _hints(tool: BaseTool) -> dict[str, Any]:
    """Return the annotations of a tool's parameters, from its function and from its schema."""
    found: dict[str, Any] = {}
    function: Any = getattr(tool, "func", None) or getattr(tool, "coroutine", None) or tool._run  # noqa: SLF001
    with suppress(NameError, TypeError):  # names of its own module that aren't there any more
        found.update(get_type_hints(function, include_extras=True))
    schema = tool.get_input_schema()
    if isinstance(schema, type):
        for name, hint in get_all_basemodel_annotations(schema).items():
            if name not in found or hasattr(hint, "__metadata__"):
                found[name] = hint
    return found
