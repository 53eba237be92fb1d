"""Graphs with what the tests' usual ones don't have."""

import operator
from typing import Annotated, Literal

from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AnyMessage
from typing_extensions import TypedDict

from perdure.graph import START, StateGraph
from perdure.graph.message import add_messages
from perdure.types import Send, interrupt


class State(TypedDict, total=False):
    answers: Annotated[list, operator.add]
    count: Annotated[int, operator.add]
    most: int


def ask(state: State) -> State:
    return {"answers": [interrupt(f"question {state['count']}")]}


def spread(state: State) -> list[Send]:
    return [Send("ask", {"count": n}) for n in range(3)]


several = StateGraph(State).add_node("ask", ask).add_conditional_edges(START, spread, ["ask"]).compile()


class Decision(TypedDict):
    choice: Literal["accept", "reject"]
    why: str


def decide(state: State) -> State:
    return {"answers": [interrupt({"decide": "this"}, response_schema=Decision)]}


form = StateGraph(State).add_node("decide", decide).add_edge(START, "decide").compile()


def step(state: State) -> State:
    return {"count": 1}


def more(state: State) -> str:
    return "step" if state["count"] < state["most"] else "__end__"


long = StateGraph(State).add_node("step", step).add_edge(START, "step").add_conditional_edges("step", more).compile()


class Chat(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


async def speak(state: Chat) -> Chat:
    model = FakeListChatModel(responses=["One word after the other."], sleep=0.05)
    return {"messages": [await model.ainvoke(state["messages"])]}


slow_words = StateGraph(Chat).add_node("speak", speak).add_edge(START, "speak").compile()
