"""The agent as a graph: the model, and one task a tool call."""

from __future__ import annotations

import json
import operator
import os
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

from models import Message, Model, may_pass, model_of
from tools import NEEDS_CONSENT, TOOLS, describe

from perdure.graph import END, START, StateGraph
from perdure.runtime import Runtime
from perdure.types import RetryPolicy, Send, interrupt


class Chat(TypedDict):
    """The state: the conversation so far."""

    messages: Annotated[list[Message], operator.add]


@dataclass
class Context:
    """What a run needs and no checkpoint stores. A run without it has the model that the environment names."""

    model: Model


def think(state: Chat, runtime: Runtime[Context]) -> Chat:
    """Let the model say what is next."""
    model = runtime.context.model if runtime.context else model_of(os.environ)
    return {"messages": [model.reply(state["messages"], describe())]}


def act_or_end(state: Chat) -> list[Send] | str:
    """Start a task for each tool call, so that each is stored by itself."""
    calls = state["messages"][-1].get("tool_calls") or ()
    return [Send("act", call) for call in calls] or END


def act(call: dict[str, Any]) -> Chat:
    """Run one tool call; the ones that change something ask first."""
    name, arguments = call["function"]["name"], call["function"]["arguments"]
    if name in NEEDS_CONSENT and not interrupt({"allow": name, "arguments": arguments}):
        content = "the user refused"
    else:
        content = _use(name, arguments)
    return {"messages": [{"role": "tool", "tool_call_id": call["id"], "content": content}]}


def _use(name: str, arguments: str) -> str:
    # What goes wrong is told to the model: it chose the tool and the arguments.
    try:
        return TOOLS[name](**json.loads(arguments))
    except KeyError:
        return f"error: there is no tool {name}"
    except (ArithmeticError, OSError, SyntaxError, TypeError, ValueError) as error:
        return f"error: {error}"


graph = (
    StateGraph(Chat, context_schema=Context)
    .add_node(think, retry_policy=RetryPolicy(max_attempts=4, retry_on=may_pass))
    .add_node(act)
    .add_edge(START, "think")
    .add_conditional_edges("think", act_or_end, ["act", END])
    .add_edge("act", "think")
)
