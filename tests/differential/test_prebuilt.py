"""The prebuilt agent and its tools: the same on both packages, in both colours."""

import asyncio
import warnings
from importlib import import_module
from typing import Annotated, Any

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, ToolException, tool
from pydantic import BaseModel

PACKAGES = ("langgraph", "perdure")


def call(name: str, id: str = "1", **args: Any) -> dict[str, Any]:
    return {"name": name, "args": args, "id": id, "type": "tool_call"}


class Model(GenericFakeChatModel):
    """Says what it is told to, and remembers what it was shown."""

    seen: list[Any]

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(tools=tools)

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        self.seen.append([shown(m) for m in messages])
        return super()._generate(messages, *args, **kwargs)

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Any:
        from langchain_core.runnables import RunnableLambda

        return RunnableLambda(lambda messages: schema(answer=messages[-1].content))


def model(*said: Any) -> Model:
    return Model(messages=iter([AIMessage(one) if isinstance(one, str) else one for one in said]), seen=[])


def asks(*calls: Any) -> AIMessage:
    return AIMessage("", tool_calls=list(calls))


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@tool
def fails(a: int) -> int:
    """Fail."""
    raise ValueError("boom")


@tool
def fails_politely(a: int) -> int:
    """Fail."""
    raise ToolException("polite")


@tool(response_format="content_and_artifact")
def with_artifact(a: int) -> Any:
    """Return more than the model sees."""
    return "seen", {"hidden": a}


@tool
def blocks(a: int) -> Any:
    """Return content blocks."""
    return [{"type": "text", "text": "q"}]


@tool
def data(a: int) -> Any:
    """Return data."""
    return {"é": [a]}


@tool(return_direct=True)
def direct(a: int) -> str:
    """Answer for the agent."""
    return "direct"


def injected(package: str) -> list[Any]:
    """Make tools that the run fills in, of the package's marks."""
    p = import_module(f"{package}.prebuilt")
    types = import_module(f"{package}.types")

    @tool
    def state_of(
        a: int, state: Annotated[Any, p.InjectedState], messages: Annotated[list, p.InjectedState("messages")]
    ):
        """Look at the state."""
        return f"{sorted(state)} {len(messages)}"

    @tool
    def runtime_of(a: int, runtime: p.ToolRuntime):
        """Look at the runtime."""
        return (
            f"{runtime.tool_call_id} {len(runtime.state['messages'])} {runtime.context} {type(runtime.store).__name__}"
        )

    @tool
    def commands(a: int, id: Annotated[str, InjectedToolCallId]):
        """Change the state."""
        return types.Command(update={"messages": [ToolMessage("by command", tool_call_id=id)]})

    @tool
    def commands_without_answer(a: int):
        """Change the state."""
        return types.Command(update={"messages": []})

    @tool
    def stores(key: str, store: Annotated[Any, p.InjectedStore()]):
        """Store."""
        store.put(("n",), key, {"v": 1})
        return f"{len(store.search(('n',)))} stored"

    return [state_of, runtime_of, commands, commands_without_answer, stores]


def shown(message: BaseMessage) -> tuple[Any, ...]:
    content = message.content
    if getattr(message, "status", None) == "error" and isinstance(content, str):
        content = "<told in each package's own words>"
    kept = ("name", "status", "artifact", "tool_call_id")
    return (message.type, content, *(getattr(message, name, None) for name in kept))


def told(values: Any) -> Any:
    messages = values["messages"] if isinstance(values, dict) else values
    return [shown(message) for message in messages]


def outcome(run: Any) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the reference's own, about its next name for this
            return run()
    except Exception as error:
        return next((base.__name__ for base in type(error).__mro__ if base.__module__ == "builtins"), "?")


@pytest.fixture(params=["sync", "async"])
def invoke(request):
    if request.param == "sync":
        return lambda graph, *args, **kwargs: graph.invoke(*args, **kwargs)
    return lambda graph, *args, **kwargs: asyncio.run(graph.ainvoke(*args, **kwargs))


def both(run: Any) -> None:
    reference, mine = (outcome(lambda package=package: run(package)) for package in PACKAGES)
    assert mine == reference


def in_graph(package: str, node: Any, **options: Any) -> Any:
    graph = import_module(f"{package}.graph")
    memory = import_module(f"{package}.checkpoint.memory")
    builder = graph.StateGraph(graph.MessagesState).add_node("tools", node).add_edge("__start__", "tools")
    return builder.compile(checkpointer=memory.InMemorySaver(), **options)


CALLS = [
    [call("add", a=1, b=2)],
    [call("add", a=1, b=2), call("add", "2", a=3, b=2), call("data", "3", a=1)],
    [call("add", a="x")],
    [call("fails", a=1)],
    [call("fails_politely", a=1)],
    [call("nope")],
    [call("with_artifact", a=1)],
    [call("blocks", a=1)],
    [call("state_of", a=1)],
    [call("state_of", a=1, state={"forged": 1})],
    [call("runtime_of", a=1)],
    [call("commands", a=1)],
    [call("commands", a=1), call("add", "2", a=1, b=1)],
    [call("commands_without_answer", a=1)],
    [call("stores", key="k")],
]
THREAD: Any = {"configurable": {"thread_id": "t"}}


@pytest.mark.parametrize("calls", CALLS, ids=lambda calls: "+".join(one["name"] for one in calls))
def test_tool_node(calls, invoke):
    def run(package: str) -> Any:
        node = import_module(f"{package}.prebuilt").ToolNode(
            [add, fails, fails_politely, with_artifact, blocks, data, *injected(package)]
        )
        store = import_module(f"{package}.store.memory").InMemoryStore()
        return told(invoke(in_graph(package, node, store=store), {"messages": [asks(*calls)]}, THREAD))

    both(run)


def typed(error: ValueError) -> str:
    return "typed"


def other(error: KeyError) -> str:
    return "typed"


HANDLERS = [True, False, "my text", ValueError, (KeyError, ValueError), KeyError, lambda e: f"fn {e}", typed, other]


@pytest.mark.parametrize("handler", HANDLERS, ids=lambda handler: getattr(handler, "__name__", str(handler)))
@pytest.mark.parametrize("asked", [call("fails", a=1), call("add", a="x")], ids=["raises", "wrong arguments"])
def test_what_becomes_of_errors(handler, asked, invoke):
    def run(package: str) -> Any:
        node = import_module(f"{package}.prebuilt").ToolNode([add, fails], handle_tool_errors=handler)
        return told(invoke(in_graph(package, node), {"messages": [asks(asked)]}, THREAD))

    both(run)


def test_calls_that_are_wrapped(invoke):
    def run(package: str) -> Any:
        def wrap(request: Any, execute: Any) -> Any:
            if request.tool is None:
                return ToolMessage("made up", tool_call_id=request.tool_call["id"])
            changed = {**request.tool_call, "args": {**request.tool_call["args"], "b": 10}}
            return execute(request.override(tool_call=changed))

        async def awrap(request: Any, execute: Any) -> Any:
            if request.tool is None:
                return ToolMessage("made up", tool_call_id=request.tool_call["id"])
            changed = {**request.tool_call, "args": {**request.tool_call["args"], "b": 10}}
            return await execute(request.override(tool_call=changed))

        node = import_module(f"{package}.prebuilt").ToolNode([add], wrap_tool_call=wrap, awrap_tool_call=awrap)
        asked = asks(call("add", a=1, b=2), call("nope", "2"))
        return told(invoke(in_graph(package, node), {"messages": [asked]}, THREAD))

    both(run)


def test_condition():
    def run(package: str) -> Any:
        condition = import_module(f"{package}.prebuilt").tools_condition
        asked = asks(call("a"))
        return [
            condition({"messages": [asked]}),
            condition([asked]),
            condition({"messages": [AIMessage("x")]}),
            condition({"chat": [asked]}, messages_key="chat"),
            outcome(lambda: condition({"messages": []})),
        ]

    both(run)


class Answer(BaseModel):
    answer: str


AGENTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "no tools are asked for": (lambda: ["hello"], {}),
    "tools": (
        lambda: [asks(call("add", a=1, b=2), call("add", "2", a=1, b=3)), asks(call("add", "3", a=0, b=0)), "done"],
        {},
    ),
    "version 1": (lambda: [asks(call("add", a=1, b=2), call("add", "2", a=1, b=3)), "done"], {"version": "v1"}),
    "prompt": (lambda: ["done"], {"prompt": "be nice"}),
    "prompt by function": (lambda: ["done"], {"prompt": lambda state: [("system", "f"), *state["messages"]]}),
    "direct": (lambda: [asks(call("direct", a=1)), "never"], {"name": "bob"}),
    "direct and not": (lambda: [asks(call("direct", a=1), call("add", "2", a=1, b=1)), "never"], {}),
    "hook before": (
        lambda: ["done"],
        {"pre_model_hook": lambda state: {"llm_input_messages": [HumanMessage("shown")]}},
    ),
    "hook after": (
        lambda: [asks(call("add", a=1, b=2)), "done"],
        {
            "post_model_hook": lambda state: (
                {"messages": [HumanMessage("after")]} if len(state["messages"]) > 3 else None
            )
        },
    ),
    "structured": (lambda: [asks(call("add", a=1, b=2)), "done"], {"response_format": Answer}),
    "wrong arguments": (lambda: [asks(call("add", a="x")), "done"], {}),
    "unknown tool": (lambda: [asks(call("nope")), "done"], {}),
    "failing tool": (lambda: [asks(call("fails", a=1)), "done"], {}),
}


@pytest.mark.parametrize("name", AGENTS)
def test_agent(name, invoke):
    said, options = AGENTS[name]

    def run(package: str) -> Any:
        m = model(*said())
        memory = import_module(f"{package}.checkpoint.memory").InMemorySaver()
        create = import_module(f"{package}.prebuilt").create_react_agent
        agent = create(m, [add, direct, fails], checkpointer=memory, **options)
        values = invoke(agent, {"messages": [("user", "hi")]}, THREAD)
        response = values.get("structured_response")
        return told(values), m.seen, response, sorted(agent.nodes), agent.name, agent.get_state(THREAD).next

    both(run)


def test_agent_that_runs_out_of_steps(invoke):
    def run(package: str) -> Any:
        m = model(*[asks(call("add", str(n), a=1, b=2)) for n in range(10)])
        agent = import_module(f"{package}.prebuilt").create_react_agent(m, [add])
        values = invoke(agent, {"messages": [("user", "hi")]}, {"recursion_limit": 6})
        return [message.type for message in values["messages"]]

    both(run)


def test_agent_without_tools_or_with_a_broken_history(invoke):
    def run(package: str) -> Any:
        create = import_module(f"{package}.prebuilt").create_react_agent
        plain = create(model("hello"), [])
        broken = create(model("hello"), [add])
        return [
            told(invoke(plain, {"messages": [("user", "hi")]})),
            sorted(plain.nodes),
            outcome(lambda: invoke(broken, {"messages": [asks(call("add", a=1, b=1)), HumanMessage("so?")]})),
        ]

    both(run)


def test_agent_whose_model_is_chosen_by_the_state(invoke):
    def run(package: str) -> Any:
        small, large = model("small"), model("large")
        agent = import_module(f"{package}.prebuilt").create_react_agent(
            lambda state, runtime: large if len(state["messages"]) > 1 else small, [add]
        )
        first = invoke(agent, {"messages": [("user", "hi")]})
        return told(first), told(invoke(agent, {"messages": [("user", "hi"), ("user", "again")]}))

    both(run)


def test_agent_that_stops_before_its_tools(invoke):
    def run(package: str) -> Any:
        memory = import_module(f"{package}.checkpoint.memory").InMemorySaver()
        agent = import_module(f"{package}.prebuilt").create_react_agent(
            model(asks(call("add", a=1, b=2)), "done"), [add], checkpointer=memory, interrupt_before=["tools"]
        )
        first = invoke(agent, {"messages": [("user", "hi")]}, THREAD)
        return told(first), agent.get_state(THREAD).next, told(invoke(agent, None, THREAD))

    both(run)


class Wanted(BaseModel):
    n: int


def test_validation_node():
    def run(package: str) -> Any:
        node = import_module(f"{package}.prebuilt").ValidationNode([Wanted])
        asked = asks(call("Wanted", n=1), call("Wanted", "2", n="x"))
        answers = node.invoke({"messages": [asked]})["messages"]
        return [(m.tool_call_id, m.additional_kwargs, m.name) for m in answers], answers[0].content

    both(run)
