"""`ToolNode`: calls the tools that a model asked for, and `tools_condition`, which routes to it.

The calls of one message run at once. In a graph with a saver each call is a step of the task, see
`perdure.runtime.Runtime.step`: what has returned isn't called again when another call asks a question, fails or dies.
"""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import functools
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypedDict, cast, get_type_hints

from langchain_core.messages import AIMessage, AnyMessage, ToolCall, ToolMessage
from langchain_core.messages.tool import ToolOutputMixin
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.tools import tool as as_tool
from pydantic import ValidationError

from perdure.constants import END
from perdure.errors import GraphBubbleUp, GraphError, InvalidUpdateError, UsageError
from perdure.prebuilt.tool_arguments import InjectedState, InjectedStore, Injections, ToolRuntime, injections_of
from perdure.runtime import no_writer, scope_var
from perdure.types import Command, RunnableConfig, Send

__all__ = [
    "InjectedState",
    "InjectedStore",
    "ToolCallRequest",
    "ToolCallWithContext",
    "ToolInvocationError",
    "ToolNode",
    "ToolRuntime",
    "msg_content_output",
    "tools_condition",
]

Handler = bool | str | Callable[..., str] | type[Exception] | tuple[type[Exception], ...]
Answer = ToolMessage | Command[Any]
"""What a call leads to; a tool may also return a list of them."""

DEFAULT_CONCURRENCY = 32


class ToolCallWithContext(TypedDict):
    """A tool call on its way to a `ToolNode` by `Send`, with the state that it was made in."""

    tool_call: ToolCall
    __type: Literal["tool_call_with_context"]
    state: Any


@dataclasses.dataclass
class ToolCallRequest:
    """A call as `wrap_tool_call` sees it.

    Attributes:
        tool_call: Name, arguments and id.
        tool: The tool; None if there is none of that name.
        state: The graph's state.
        runtime: What the tool would get.
    """

    tool_call: ToolCall
    tool: BaseTool | None
    state: Any
    runtime: ToolRuntime[Any, Any]

    def override(self, **changes: Any) -> ToolCallRequest:
        """Return a copy with some attributes replaced."""
        return dataclasses.replace(self, **changes)


class ToolInvocationError(GraphError):
    """A tool was called with arguments that it can't take.

    Attributes:
        tool_name: The tool.
        tool_kwargs: The arguments, without those that the run fills in.
        source: What the validation found.
    """

    def __init__(self, tool_name: str, source: ValidationError, tool_kwargs: dict[str, Any]) -> None:
        self.tool_name = tool_name
        self.tool_kwargs = tool_kwargs
        self.source = source
        wrong = [
            f"{'.'.join(map(str, error['loc']))}: {error['msg']}"
            for error in source.errors()
            if not error["loc"] or error["loc"][0] in tool_kwargs or error["type"] == "missing"
        ]
        super().__init__(f"the tool {tool_name!r} can't take the arguments {tool_kwargs!r}: {'; '.join(wrong)}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.tool_name, self.source, self.tool_kwargs)


def msg_content_output(output: Any) -> str | list[dict[str, Any]]:
    """Turn what a tool returned into the content of a message: text and content blocks stay, the rest becomes JSON."""
    if isinstance(output, str):
        return output
    blocks = ("text", "image_url", "image", "json", "search_result", "document", "video", "audio", "file")
    if isinstance(output, list) and all(isinstance(x, dict) and x.get("type") in blocks for x in output):
        return output
    try:
        return json.dumps(output, ensure_ascii=False)
    except (TypeError, ValueError):
        return str(output)


def _only_wrong_arguments(error: ToolInvocationError) -> str:
    return f"{error}\nMend the arguments and call the tool again."


def _told(error: Exception) -> str:
    return f"Error: {error!r}\nMend it and try again."


class _Carried(ToolOutputMixin):  # type: ignore[misc,unused-ignore]
    """Carries commands through a tool's `invoke`, which would make text of them."""

    def __init__(self, value: Any) -> None:
        self.carried = value  # the name by which the stream of tools finds it


def _carry(value: Any) -> Any:
    parts = value if isinstance(value, list) else (value,)
    return _Carried(value) if any(isinstance(part, Command) for part in parts) else value


def _carrying(tool: BaseTool) -> BaseTool:
    """Return a copy of a tool that carries its commands."""
    run, arun = tool._run, tool._arun  # noqa: SLF001

    @functools.wraps(run)
    def carried(*args: Any, **kwargs: Any) -> Any:
        return _carry(run(*args, **kwargs))

    @functools.wraps(arun)
    async def acarried(*args: Any, **kwargs: Any) -> Any:
        return _carry(await arun(*args, **kwargs))

    copy = tool.model_copy()
    object.__setattr__(copy, "_run", carried)
    object.__setattr__(copy, "_arun", acarried)
    return copy


class ToolNode(Runnable[Any, Any]):
    """A node that calls the tools that the last message of the state asks for.

    It takes the state, a list of messages, a list of tool calls, or a `ToolCallWithContext`; it returns the tools'
    messages in the order of the calls, in the form that it was given, and the commands that tools returned.

    Args:
        tools: LangChain tools, or functions to make tools of.
        name: The node's name.
        tags: For the tools' configs.
        handle_tool_errors: What becomes of an exception: a text or a function's text for the model; True for a
            standard text; a type, or a tuple of them, for those only; False to raise it. A function handles the type
            that its parameter is annotated with. By default only wrong arguments are told to the model.
        messages_key: The state's key of messages.
        wrap_tool_call: `wrap(request, execute)` is called in place of each call, and may change it, repeat it or
            answer itself.
        awrap_tool_call: The same for asynchronous runs; by default `wrap_tool_call`.

    Raises:
        UsageError: Two tools have one name.
    """

    def __init__(
        self,
        tools: Sequence[BaseTool | Callable[..., Any]],
        *,
        name: str = "tools",
        tags: list[str] | None = None,
        handle_tool_errors: Handler = _only_wrong_arguments,
        messages_key: str = "messages",
        wrap_tool_call: Callable[[ToolCallRequest, Callable[[ToolCallRequest], Any]], Any] | None = None,
        awrap_tool_call: Callable[[ToolCallRequest, Callable[[ToolCallRequest], Any]], Awaitable[Any]] | None = None,
    ) -> None:
        self.name = name
        self.tags = tags
        self.handle_tool_errors = handle_tool_errors
        self.messages_key = messages_key
        self._wrap = wrap_tool_call
        self._awrap = awrap_tool_call
        self._by_name: dict[str, BaseTool] = {}
        self._injections: dict[str, Injections] = {}
        for given in tools:
            made = given if isinstance(given, BaseTool) else as_tool(cast("Any", given))
            if made.name in self._by_name:
                raise UsageError(f"two tools are named {made.name!r}", hint="the model tells them apart by name")
            self._by_name[made.name] = made
            self._injections[made.name] = injections_of(made)

    @property
    def tools_by_name(self) -> dict[str, BaseTool]:
        """The tools."""
        return dict(self._by_name)

    # -- running

    def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        """Call the tools, each in a thread."""
        calls, state, form = self._read(input)
        config = config or RunnableConfig()
        requests = [self._request(call, state, config) for call in calls]
        if len(requests) == 1:
            return form(self, [self._once(0, requests[0])])
        limit = config.get("max_concurrency") or DEFAULT_CONCURRENCY
        with ThreadPoolExecutor(max(1, min(limit, len(requests))), thread_name_prefix="perdure-tool") as pool:
            futures = [
                pool.submit(contextvars.copy_context().run, self._once, at, request)
                for at, request in enumerate(requests)
            ]
        return form(self, [future.result() for future in futures])

    async def ainvoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        """Call the tools, each in an asyncio task."""
        calls, state, form = self._read(input)
        requests = [self._request(call, state, config or RunnableConfig()) for call in calls]
        tasks = [asyncio.ensure_future(self._aonce(at, request)) for at, request in enumerate(requests)]
        try:
            if tasks:
                await asyncio.wait(tasks)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            raise
        return form(self, [task.result() for task in tasks])

    def _once(self, at: int, request: ToolCallRequest) -> list[Any]:
        scope = scope_var.get(None)
        if scope is None or scope.run.saver is None:
            return self._wrapped(request)
        return scope.calls.step(f"tool {at} {request.tool_call['id']}", self._wrapped, ((request,), {}))  # type: ignore[no-any-return]

    async def _aonce(self, at: int, request: ToolCallRequest) -> list[Any]:
        scope = scope_var.get(None)
        if scope is None or scope.run.saver is None:
            return await self._awrapped(request)
        key = f"tool {at} {request.tool_call['id']}"
        return await scope.calls.astep(key, self._awrapped, ((request,), {}))  # type: ignore[no-any-return]

    def _wrapped(self, request: ToolCallRequest) -> list[Any]:
        if self._wrap is None:
            return _listed(self._execute(request))
        try:
            return _listed(self._wrap(request, self._execute))
        except GraphBubbleUp:
            raise
        except Exception as error:  # noqa: BLE001 - a tool may raise anything; the handler decides
            return [self._failure(error, request.tool_call)]

    async def _awrapped(self, request: ToolCallRequest) -> list[Any]:
        try:
            if self._awrap is not None:
                return _listed(await self._awrap(request, self._aexecute))
            if self._wrap is not None:
                return _listed(await asyncio.to_thread(self._wrap, request, self._execute))
        except GraphBubbleUp:
            raise
        except Exception as error:  # noqa: BLE001 - a tool may raise anything; the handler decides
            return [self._failure(error, request.tool_call)]
        return _listed(await self._aexecute(request))

    def _execute(self, request: ToolCallRequest) -> Any:
        call, tool = request.tool_call, request.tool
        if tool is None:
            return self._unknown(call)
        arguments, config = self._prepared(request, tool)
        try:
            return self._checked(_carrying(tool).invoke(arguments, config), request)
        except GraphBubbleUp:
            raise
        except Exception as error:  # noqa: BLE001 - a tool may raise anything; the handler decides
            return self._failure(_told_apart(error, call), call)

    async def _aexecute(self, request: ToolCallRequest) -> Any:
        call, tool = request.tool_call, request.tool
        if tool is None:
            return self._unknown(call)
        arguments, config = self._prepared(request, tool)
        try:
            return self._checked(await _carrying(tool).ainvoke(arguments, config), request)
        except GraphBubbleUp:
            raise
        except Exception as error:  # noqa: BLE001 - a tool may raise anything; the handler decides
            return self._failure(_told_apart(error, call), call)

    # -- what goes in

    def _read(self, given: Any) -> tuple[list[ToolCall], Any, Callable[[ToolNode, list[Any]], Any]]:
        """Return the calls that are asked for, the state, and how to form the output."""
        if isinstance(given, list) and given and isinstance(given[-1], dict) and given[-1].get("type") == "tool_call":
            return list(given), None, ToolNode._as_state
        if isinstance(given, dict) and given.get("__type") == "tool_call_with_context":
            state = given["state"]
            return [given["tool_call"]], state, ToolNode._as_list if isinstance(state, list) else ToolNode._as_state
        messages = self._messages(given)
        last = next((m for m in reversed(messages) if isinstance(m, AIMessage)), None)
        if last is None:
            raise InvalidUpdateError(
                "the state has no message of a model, so no tool was asked for",
                hint="route to the tools with tools_condition",
            )
        return list(last.tool_calls), given, ToolNode._as_list if isinstance(given, list) else ToolNode._as_state

    def _messages(self, given: Any) -> list[AnyMessage]:
        if isinstance(given, list):
            return given
        found = given.get(self.messages_key) if isinstance(given, Mapping) else getattr(given, self.messages_key, None)
        if not found:
            raise InvalidUpdateError(
                f"the state has no messages under {self.messages_key!r}",
                hint="ToolNode(messages_key=...) names the key",
            )
        return list(found)

    def _request(self, call: ToolCall, state: Any, config: RunnableConfig) -> ToolCallRequest:
        scope = scope_var.get(None)
        runtime = scope.runtime() if scope is not None else None
        offered: ToolRuntime[Any, Any] = ToolRuntime(
            state=state,
            context=runtime.context if runtime else None,
            config=config,
            stream_writer=runtime.stream_writer if runtime else no_writer,
            tool_call_id=call["id"],
            store=runtime.store if runtime else None,
            tools=list(self._by_name.values()),
            execution_info=runtime.execution_info if runtime else None,
            server_info=runtime.server_info if runtime else None,
        )
        return ToolCallRequest(call, self._by_name.get(call["name"]), state, offered)

    def _prepared(self, request: ToolCallRequest, tool: BaseTool) -> tuple[dict[str, Any], Any]:
        call, config = request.tool_call, request.runtime.config
        wanted = self._injections.get(tool.name) or injections_of(tool)
        filled = wanted.arguments(tool.name, request.state, request.runtime)
        if self.tags:
            config = {**config, "tags": [*(config.get("tags") or ()), *self.tags]}
        kept = {
            name: value for name, value in call["args"].items() if name not in wanted.names
        }  # not the model's to say
        return {**call, "args": {**kept, **filled}, "type": "tool_call"}, config

    # -- what comes out

    def _unknown(self, call: ToolCall) -> ToolMessage:
        known = ", ".join(self._by_name) or "none"
        text = f"Error: there is no tool named {call['name']!r}; there are: {known}."
        return ToolMessage(text, name=call["name"], tool_call_id=call["id"], status="error")

    def _failure(self, error: Exception, call: ToolCall) -> ToolMessage:
        handler = self.handle_tool_errors
        if not _handles(handler, error):
            raise error
        if isinstance(handler, str):
            text = handler
        elif callable(handler) and not isinstance(handler, type):
            text = handler(error)
        else:
            text = _told(error)
        return ToolMessage(text, name=call["name"], tool_call_id=call["id"], status="error")

    def _checked(self, output: Any, request: ToolCallRequest) -> Any:
        call = request.tool_call
        if isinstance(output, _Carried):
            output = output.carried
        parts = output if isinstance(output, list) else [output]
        if not all(isinstance(part, (ToolMessage, Command)) for part in parts):
            raise TypeError(f"the tool {call['name']!r} returned {output!r:.200}, which is no message and no command")
        for part in parts:
            if isinstance(part, ToolMessage):
                part.content = cast("Any", msg_content_output(part.content))
        if any(isinstance(part, Command) for part in parts):
            _require_answer(parts, call)
        return output

    def _as_list(self, answers: list[Any]) -> Any:
        return self._formed(answers, lambda messages: messages)

    def _as_state(self, answers: list[Any]) -> Any:
        return self._formed(answers, lambda messages: {self.messages_key: messages})

    @staticmethod
    def _formed(answers: list[Any], form: Callable[[list[Any]], Any]) -> Any:
        flat = [part for answer in answers for part in answer]
        if not any(isinstance(part, Command) for part in flat):
            return form(flat)
        formed: list[Any] = []
        up: list[Send] = []
        for part in flat:
            if not isinstance(part, Command):
                formed.append(form([part]))
            elif part.graph == Command.PARENT and _sends(part):
                up += cast("list[Send]", part.goto)  # the sends of several tools go up together
            else:
                formed.append(part)
        return [*formed, Command(graph=Command.PARENT, goto=up)] if up else formed


def _listed(answer: Any) -> list[Any]:
    return answer if isinstance(answer, list) else [answer]


def _sends(command: Command[Any]) -> bool:
    goto = command.goto
    return isinstance(goto, list) and bool(goto) and all(isinstance(one, Send) for one in goto)


def _require_answer(parts: list[Any], call: ToolCall) -> None:
    """Look whether a command (and what came with it) answers the call: models refuse a call without an answer.

    Raises:
        InvalidUpdateError: It doesn't.
    """
    commands = [part for part in parts if isinstance(part, Command)]
    if any(command.graph is not None for command in commands):
        return  # another graph's messages
    found = [part for part in parts if isinstance(part, ToolMessage)]
    for command in commands:
        update = command.update
        values = update.values() if isinstance(update, Mapping) else [update]
        for value in values:
            if isinstance(value, list):
                found += [message for message in value if isinstance(message, ToolMessage)]
    mine = [message for message in found if message.tool_call_id == call["id"]]
    if not mine:
        raise InvalidUpdateError(
            f"the tool {call['name']!r} returned a Command without an answer to its call {call['id']!r}",
            hint="add ToolMessage('...', tool_call_id=runtime.tool_call_id) to the messages of its update",
        )
    for message in mine:
        message.name = message.name or call["name"]


def _told_apart(error: Exception, call: ToolCall) -> Exception:
    """Tell wrong arguments from an error of the tool's."""
    if not isinstance(error, ValidationError):
        return error
    wrong = ToolInvocationError(call["name"], error, call["args"])
    wrong.__cause__ = error
    return wrong


def _handles(handler: Handler, error: Exception) -> bool:
    if isinstance(handler, bool):
        return handler
    if isinstance(handler, str):
        return True
    if isinstance(handler, (type, tuple)):
        return isinstance(error, handler)
    return isinstance(error, _annotated(handler))


def _annotated(handler: Callable[..., str]) -> Any:
    """Return the types of exceptions that a function handles, by the annotation of its parameter."""
    try:
        first = next(iter(inspect.signature(handler).parameters))
        hint = get_type_hints(handler).get(first, Exception)
    except (TypeError, ValueError, NameError, StopIteration):
        return Exception
    found = getattr(hint, "__args__", None) or (hint,)
    types = tuple(one for one in found if isinstance(one, type) and issubclass(one, Exception))
    return types or Exception


def tools_condition(state: Any, messages_key: str = "messages") -> Literal["tools", "__end__"]:
    """Route to `tools` if the last message asks for tools, else to the end.

    Args:
        state: The state, or a list of messages.
        messages_key: The state's key of messages.

    Raises:
        InvalidUpdateError: There is no message.
    """
    messages: Any = state
    if not isinstance(state, list):
        messages = state.get(messages_key) if isinstance(state, Mapping) else getattr(state, messages_key, None)
    if not messages:
        raise InvalidUpdateError(f"the state has no messages under {messages_key!r}", hint="pass messages_key=...")
    return "tools" if getattr(messages[-1], "tool_calls", None) else END
