"""`create_react_agent`: a graph in which a chat model and its tools take turns."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired, TypedDict, cast

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, SystemMessage, ToolMessage
from langchain_core.runnables import Runnable, RunnableBinding, RunnableSequence
from langchain_core.tools import BaseTool
from pydantic import BaseModel

from perdure.constants import END, START
from perdure.errors import GraphValidationError, InvalidUpdateError
from perdure.graph.message import add_messages
from perdure.graph.state import CompiledStateGraph, StateGraph
from perdure.managed import RemainingSteps
from perdure.prebuilt.tool_node import ToolNode
from perdure.runtime import get_runtime
from perdure.types import All, Checkpointer, RunnableConfig, Send

__all__ = [
    "AgentState",
    "AgentStatePydantic",
    "AgentStateWithStructuredResponse",
    "AgentStateWithStructuredResponsePydantic",
    "create_react_agent",
    "create_tool_calling_executor",
]

Model = str | Runnable[Any, Any] | Callable[..., Any]
Prompt = SystemMessage | str | Callable[..., Any] | Runnable[Any, Any]
Hook = Callable[..., Any] | Runnable[Any, Any]

OUT_OF_STEPS = "I need more steps than I am allowed to finish this."


class AgentState(TypedDict):
    """The state of an agent."""

    messages: Annotated[Sequence[BaseMessage], add_messages]
    remaining_steps: NotRequired[RemainingSteps]


class AgentStatePydantic(BaseModel):
    """The state of an agent, validated."""

    messages: Annotated[Sequence[BaseMessage], add_messages]
    remaining_steps: RemainingSteps = 25


class AgentStateWithStructuredResponse(AgentState):
    """The state of an agent that gives a structured response at its end."""

    structured_response: dict[str, Any] | BaseModel


class AgentStateWithStructuredResponsePydantic(AgentStatePydantic):
    """The same, validated."""

    structured_response: dict[str, Any] | BaseModel | None = None


def _of(state: Any, key: str, default: Any = None) -> Any:
    return state.get(key, default) if isinstance(state, Mapping) else getattr(state, key, default)


class _Both:
    """A node with a body in each colour."""

    def __init__(self, name: str, invoke: Callable[..., Any], ainvoke: Callable[..., Awaitable[Any]]) -> None:
        self.name = name
        self.invoke = invoke
        self.ainvoke = ainvoke


class _Agent:
    """The nodes of an agent and the ways between them."""

    def __init__(
        self,
        model: Model,
        tools: ToolNode,
        offered: list[Any],
        *,
        prompt: Prompt | None,
        response_format: Any,
        name: str | None,
        version: Literal["v1", "v2"],
        has_post_hook: bool,
        has_pre_hook: bool,
    ) -> None:
        self.tools = tools
        self.offered = offered
        self.prompt = prompt
        self.response_format = response_format
        self.name = name
        self.version = version
        self.has_post_hook = has_post_hook
        self.entry = "pre_model_hook" if has_pre_hook else "agent"
        self.end = "generate_structured_response" if response_format is not None else END
        self.direct = {tool.name for tool in tools.tools_by_name.values() if tool.return_direct}
        self.is_dynamic = not isinstance(model, (str, Runnable))
        self.model: Any = model if self.is_dynamic else self._ready(_opened(model))

    # -- the model

    def _ready(self, model: Any) -> Any:
        return _bound(model, self.offered) if self.offered else model

    def _resolved(self, state: Any) -> Any:
        """Return the model for this state; a coroutine if the function that chooses it is one."""
        return self.model(state, get_runtime()) if self.is_dynamic else self.model

    def call(self, state: Any, config: RunnableConfig) -> Any:
        """Ask the model."""
        model = self._resolved(state)
        if inspect.isawaitable(model):
            cast("Any", model).close()
            raise InvalidUpdateError("the model is chosen by a coroutine function: call the agent with ainvoke")
        messages = self._history(state)
        asked = self._prompted(state, messages, config)
        if inspect.isawaitable(asked):
            cast("Any", asked).close()
            raise InvalidUpdateError("the prompt is made by a coroutine function: call the agent with ainvoke")
        return self._answer(state, model.invoke(asked, config))

    async def acall(self, state: Any, config: RunnableConfig) -> Any:
        """Async twin of `call`."""
        model = self._resolved(state)
        if inspect.isawaitable(model):
            model = await model
        messages = self._history(state)
        asked = self._prompted(state, messages, config, is_async=True)
        if inspect.isawaitable(asked):
            asked = await asked
        return self._answer(state, await model.ainvoke(asked, config))

    def _prompted(self, state: Any, messages: list[Any], config: RunnableConfig, *, is_async: bool = False) -> Any:
        prompt = self.prompt
        if prompt is None:
            return messages
        if isinstance(prompt, str):
            return [SystemMessage(prompt), *messages]
        if isinstance(prompt, SystemMessage):
            return [prompt, *messages]
        seen = {**state, "messages": messages} if isinstance(state, Mapping) else state
        if isinstance(prompt, Runnable):
            return prompt.ainvoke(seen, cast("Any", config)) if is_async else prompt.invoke(seen, cast("Any", config))
        wants_config = "config" in inspect.signature(prompt).parameters
        return prompt(seen, config=config) if wants_config else prompt(seen)

    def _history(self, state: Any) -> list[AnyMessage]:
        """Return what the model is shown.

        Raises:
            InvalidUpdateError: There is nothing, or a tool call without an answer.
        """
        messages = _of(state, "llm_input_messages") or _of(state, "messages")
        if not messages:
            raise InvalidUpdateError("the agent's state has no messages", hint="invoke({'messages': [...]})")
        answered = {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}
        asked = [call for message in messages if isinstance(message, AIMessage) for call in message.tool_calls]
        if left := [call["name"] for call in asked if call["id"] not in answered]:
            raise InvalidUpdateError(
                f"the messages ask for tools and don't hold their answers: {', '.join(left)} (INVALID_CHAT_HISTORY)",
                hint="models refuse such a history; add a ToolMessage for each call",
            )
        return list(messages)

    def _answer(self, state: Any, response: Any) -> dict[str, Any]:
        if self.name:
            response.name = self.name
        remaining = _of(state, "remaining_steps")
        calls = getattr(response, "tool_calls", None) or ()
        if calls and remaining is not None:
            all_direct = all(call["name"] in self.direct for call in calls)
            if remaining < 1 or (remaining < 2 and not all_direct):
                return {"messages": [AIMessage(OUT_OF_STEPS, id=response.id)]}
        return {"messages": [response]}

    # -- the structured response

    def _structured(self, state: Any) -> tuple[Any, list[Any], Any]:
        schema, messages = self.response_format, list(_of(state, "messages"))
        if isinstance(schema, tuple):
            system, schema = schema
            messages = [SystemMessage(system), *messages]
        return schema, messages, self._resolved(state)

    def respond(self, state: Any, config: RunnableConfig) -> Any:
        """Ask the model for the response in its form."""
        schema, messages, model = self._structured(state)
        asked = _unbound(model).with_structured_output(schema)
        return {"structured_response": asked.invoke(messages, config)}

    async def arespond(self, state: Any, config: RunnableConfig) -> Any:
        """Async twin of `respond`."""
        schema, messages, model = self._structured(state)
        if inspect.isawaitable(model):
            model = await model
        asked = _unbound(model).with_structured_output(schema)
        return {"structured_response": await asked.ainvoke(messages, config)}

    # -- the ways

    def after_model(self, state: Any) -> Any:
        """Go to the tools that the model asks for, or on."""
        last = _of(state, "messages")[-1]
        if not isinstance(last, AIMessage) or not last.tool_calls:
            return "post_model_hook" if self.has_post_hook else self.end
        if self.version == "v1":
            return "tools"
        return "post_model_hook" if self.has_post_hook else self._sent(last.tool_calls, state)

    def after_hook(self, state: Any) -> Any:
        """Go to the tools that have not answered yet, or on."""
        messages = _of(state, "messages")
        answered = {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}
        last = next((message for message in reversed(messages) if isinstance(message, AIMessage)), None)
        left = [call for call in (last.tool_calls if last else ()) if call["id"] not in answered]
        if left:
            return self._sent(left, state)
        return self.entry if isinstance(messages[-1], ToolMessage) else self.end

    def after_tools(self, state: Any) -> Any:
        """End if a tool's answer is the agent's; else ask the model again."""
        for message in reversed(_of(state, "messages")):
            if isinstance(message, ToolMessage):
                if message.name in self.direct:
                    return END
            elif isinstance(message, AIMessage):
                if any(call["name"] in self.direct for call in message.tool_calls):
                    return END  # its answer comes from a task beside this one
                break
        return self.entry

    @staticmethod
    def _sent(calls: Sequence[Any], state: Any) -> list[Send]:
        return [
            Send("tools", {"__type": "tool_call_with_context", "tool_call": call, "state": state}) for call in calls
        ]


def _opened(model: Any) -> Any:
    """Return a model; one that is named by a text comes from LangChain's registry of providers.

    Raises:
        ImportError: The package `langchain`, which has it, isn't installed.
    """
    if not isinstance(model, str):
        return model
    try:
        from langchain.chat_models import init_chat_model  # type: ignore[import-not-found,unused-ignore]
    except ImportError as missing:
        raise ImportError(
            f"to open the model {model!r} by name, the package langchain is needed: pip install langchain; "
            "or pass a chat model object"
        ) from missing
    return init_chat_model(model)


def _unbound(model: Any) -> Any:
    """Return the chat model inside of bindings and sequences."""
    if isinstance(model, RunnableSequence):
        model = next((step for step in model.steps if isinstance(step, RunnableBinding)), model.steps[-1])
    while isinstance(model, RunnableBinding):
        model = model.bound
    return model


def _bound(model: Any, offered: list[Any]) -> Any:
    """Tell a model of its tools, unless it knows them.

    Raises:
        GraphValidationError: It knows others.
    """
    inner = model
    if isinstance(inner, RunnableSequence):
        inner = next((step for step in inner.steps if isinstance(step, RunnableBinding)), inner)
    known = inner.kwargs.get("tools") if isinstance(inner, RunnableBinding) else None
    if known is None:
        if not hasattr(model, "bind_tools"):
            msg = f"the model {type(model).__name__} can't be given tools: it has no bind_tools"
            raise GraphValidationError(msg)
        return model.bind_tools(offered)
    names = {_tool_name(tool) for tool in known}
    wanted = {_tool_name(tool) for tool in offered}
    if names != wanted:
        raise GraphValidationError(
            f"the model knows the tools {', '.join(sorted(names))}, and the agent has {', '.join(sorted(wanted))}",
            hint="give the agent the model without tools, or the same tools",
        )
    return model


def _tool_name(tool: Any) -> str:
    if isinstance(tool, BaseTool):
        return tool.name
    if isinstance(tool, Mapping):
        return str((tool.get("function") or tool).get("name") or tool.get("type"))
    return str(getattr(tool, "__name__", tool))


def create_react_agent(
    model: Model,
    tools: Sequence[BaseTool | Callable[..., Any] | dict[str, Any]] | ToolNode,
    *,
    prompt: Prompt | None = None,
    response_format: Any = None,
    pre_model_hook: Hook | None = None,
    post_model_hook: Hook | None = None,
    state_schema: type[Any] | None = None,
    context_schema: type[Any] | None = None,
    checkpointer: Checkpointer = None,
    store: Any = None,
    interrupt_before: All | list[str] | None = None,
    interrupt_after: All | list[str] | None = None,
    debug: bool = False,
    version: Literal["v1", "v2"] = "v2",
    name: str | None = None,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Make an agent: the model is asked, the tools that it asks for are called, until it asks for none.

    Args:
        model: A chat model, `provider:name`, or `choose(state, runtime)`, which returns a model with its tools bound.
        tools: Its tools; dicts are for tools that the provider runs itself. Or a `ToolNode`.
        prompt: What goes before the messages: a text, a system message; or what makes the model's input of the state.
        response_format: A schema, or (system prompt, schema): at the end the model answers once more in this form,
            under `structured_response`.
        pre_model_hook: A node before the model, to shorten or add to what it is shown: `llm_input_messages` for this
            time only, `messages` for good.
        post_model_hook: A node after the model, such as a guard or a question to a person.
        state_schema: The state; must have `messages`, and `remaining_steps` if the agent shall end in time.
        context_schema: The type of the run's context.
        checkpointer: A saver.
        store: Memory across threads.
        interrupt_before: Nodes to stop before: `agent`, `tools`.
        interrupt_after: Nodes to stop after.
        debug: Print what happens.
        version: `v2` makes each tool call a task of its own, which is kept by itself; `v1` all of a message one.
        name: The agent's name, put on its messages.

    Raises:
        GraphValidationError: The schema lacks a key, or the model knows other tools.
    """
    if version not in ("v1", "v2"):
        msg = f"version must be 'v1' or 'v2', not {version!r}"
        raise GraphValidationError(msg)
    schema = _schema(state_schema, has_response=response_format is not None)
    provided = [tool for tool in tools if isinstance(tool, dict)] if not isinstance(tools, ToolNode) else []
    called = tools if isinstance(tools, ToolNode) else ToolNode([tool for tool in tools if not isinstance(tool, dict)])
    has_tools = bool(called.tools_by_name)
    agent = _Agent(
        model,
        called,
        [*provided, *called.tools_by_name.values()],
        prompt=prompt,
        response_format=response_format,
        name=name,
        version=version,
        has_post_hook=post_model_hook is not None,
        has_pre_hook=pre_model_hook is not None,
    )
    builder = StateGraph(schema, context_schema)
    builder.add_node("agent", _Both("agent", agent.call, agent.acall), input_schema=_seen(schema, pre_model_hook))
    if pre_model_hook is not None:
        builder.add_node("pre_model_hook", pre_model_hook).add_edge("pre_model_hook", "agent")
    builder.add_edge(START, agent.entry)
    if has_tools:
        builder.add_node("tools", called)
    if post_model_hook is not None:
        builder.add_node("post_model_hook", post_model_hook)
        ends = [agent.end, *(["tools", agent.entry] if has_tools else [])]
        builder.add_conditional_edges("post_model_hook", agent.after_hook, ends)
    if response_format is not None:
        builder.add_node("generate_structured_response", _Both("respond", agent.respond, agent.arespond))
        builder.add_edge("generate_structured_response", END)
    if has_tools:
        on = "post_model_hook" if post_model_hook is not None else agent.end
        builder.add_conditional_edges("agent", agent.after_model, list(dict.fromkeys(["tools", on])))
        if agent.direct:
            builder.add_conditional_edges("tools", agent.after_tools, [agent.entry, END])
        else:
            builder.add_edge("tools", agent.entry)
    else:
        builder.add_edge("agent", "post_model_hook" if post_model_hook is not None else agent.end)
    return builder.compile(
        checkpointer=checkpointer,
        store=store,
        interrupt_before=interrupt_before,
        interrupt_after=interrupt_after,
        debug=debug,
        name=name,
    )


def _schema(given: type[Any] | None, *, has_response: bool) -> type[Any]:
    if given is None:
        return AgentStateWithStructuredResponse if has_response else AgentState
    keys = _keys(given)
    wanted = {"messages", "structured_response"} if has_response else {"messages"}
    if missing := wanted - keys:
        raise GraphValidationError(
            f"the agent's state schema {given.__name__} lacks {', '.join(sorted(missing))}",
            hint="derive it from AgentState",
        )
    return given


def _keys(schema: type[Any]) -> set[str]:
    fields = getattr(schema, "model_fields", None)
    return (
        set(fields if fields is not None else inspect.get_annotations(schema))
        | {key for base in schema.__mro__[1:] for key in getattr(base, "__annotations__", ())}
        | set(getattr(schema, "__annotations__", ()))
    )


def _seen(schema: type[Any], hook: Hook | None) -> type[Any]:
    """Return what the model's node reads: with a hook before it, also what the hook shows for this time only."""
    if hook is None:
        return schema
    if hasattr(schema, "model_fields"):
        from pydantic import create_model

        fields: dict[str, Any] = {"llm_input_messages": (list[Any] | None, None)}
        return create_model("AgentInput", __base__=schema, **fields)
    return cast("type[Any]", TypedDict("AgentInput", {**_all_hints(schema), "llm_input_messages": list[Any]}))  # type: ignore[operator]


def _all_hints(schema: type[Any]) -> dict[str, Any]:
    from typing import get_type_hints

    return get_type_hints(schema, include_extras=True)


create_tool_calling_executor = create_react_agent
