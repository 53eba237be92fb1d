"""A run's id is the run's and that of graphs within, not of what nodes call."""

import uuid

from langchain_core.runnables import RunnableConfig, RunnableLambda
from typing_extensions import TypedDict

from perdure.checkpoint.memory import InMemorySaver
from perdure.graph import START, StateGraph


class State(TypedDict):
    seen: list


def test_what_a_node_calls_has_ids_of_its_own():
    ids = []

    def model(value, config: RunnableConfig):
        ids.append(config.get("run_id"))
        return value

    def node(state: State, config: RunnableConfig):
        RunnableLambda(model).invoke("x", config)
        return {"seen": [config.get("run_id")]}

    graph = StateGraph(State).add_node(node).add_edge(START, "node").compile()
    assert graph.invoke({"seen": []}, {"run_id": uuid.uuid4()}) == {"seen": [None]}
    assert ids == [None]


def test_checkpoints_of_a_graph_within_name_the_run():
    saver, run_id = InMemorySaver(), str(uuid.uuid4())
    inner = StateGraph(State).add_node("leaf", lambda state: {"seen": [1]}).add_edge(START, "leaf").compile()
    outer = StateGraph(State).add_node("inner", inner).add_edge(START, "inner").compile(checkpointer=saver)
    outer.invoke({"seen": []}, {"run_id": run_id, "configurable": {"thread_id": "t"}})
    found = list(saver.list({"configurable": {"thread_id": "t"}}))
    assert any(one.config["configurable"]["checkpoint_ns"] for one in found)
    assert {one.metadata["run_id"] for one in found} == {run_id}
