"""Components for user interfaces, graphs of messages, answers with a schema, and handlers that are told."""

import warnings
from typing import Annotated, Any

from pydantic import BaseModel
from tests.differential.actions import Invoke, State, Stream
from tests.differential.scenario import case
from typing_extensions import TypedDict


class Wanted(BaseModel):
    x: int


class Value(TypedDict):
    value: Any


def resume(answer):
    return lambda p: p.Command(resume=answer)


@case(
    Stream({"ui": []}, mode=("custom", "updates", "values"), config={"tags": ["t"]}),
    State(),
)
def components(p):
    ui = p.module("graph.ui")

    class Shown(TypedDict):
        ui: Annotated[list, ui.ui_message_reducer]

    def node(state):
        ui.push_ui_message("card", {"a": 1}, id="1", metadata={"k": 1})
        ui.push_ui_message("card", {"b": 2}, id="1", merge=True)
        ui.push_ui_message("other", {"c": 3}, id="2", message={"id": "m"})
        ui.push_ui_message("only shown", {}, id="3", state_key=None)
        ui.delete_ui_message("2")
        return {}

    return p.StateGraph(Shown).add_node("node", node).add_edge(p.START, "node").compile(checkpointer=p.saver())


@case(Invoke([("user", "q")]), State())
def graph_of_messages(p):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the reference's own, about its next name for this
        builder = p.module("graph.message").MessageGraph()
    builder.add_node("node", lambda messages: [("ai", f"{len(messages)} so far")])
    return builder.add_edge(p.START, "node").compile(checkpointer=p.saver())


@case(
    Invoke({"value": 0}),
    Invoke(resume({"x": "7"})),
    State(),
)
def answer_with_a_schema(p):
    def node(state):
        return {"value": repr(p.interrupt("?", response_schema=Wanted))}

    return p.StateGraph(Value).add_node("node", node).add_edge(p.START, "node").compile(checkpointer=p.saver())


@case(
    Invoke({"value": 0}),
    Invoke(resume({"x": 1})),
    Invoke({"value": 1}),
    Invoke(resume(5)),
)
def handlers_are_told(p):
    class Handler(p.module("callbacks").GraphCallbackHandler):
        def on_interrupt(self, event):
            p.note(f"asked {[one.value for one in event.interrupts]} {event.checkpoint_ns} {event.status}")

        def on_resume(self, event):
            p.note(f"resumed {event.checkpoint_ns} {event.status}")

    builder = p.StateGraph(Value).add_node("node", lambda state: {"value": p.interrupt("?")}).add_edge(p.START, "node")
    return builder.compile(checkpointer=p.saver()).with_config({"callbacks": [Handler()]})
