"""Drawings show nodes, edges and branches, and stay valid whatever the names."""

import operator
from typing import Annotated, Literal, TypedDict

from perdure.graph import END, START, StateGraph
from perdure.types import Command


class State(TypedDict):
    items: Annotated[list, operator.add]


def route(state) -> Literal["b", "c"]:
    return "b"


def jump(state) -> Command[Literal["b"]]:
    return Command(goto="b")


def sample():
    builder = StateGraph(State)
    builder.add_node("a", lambda state: None)
    builder.add_node("b", lambda state: None)
    builder.add_node("c", jump)
    builder.add_edge(START, "a")
    builder.add_conditional_edges("a", route)
    builder.add_edge("b", END)
    return builder


def test_edges_of_all_kinds():
    edges = sample().compile().get_graph().to_json()["edges"]
    assert {"source": "__start__", "target": "a"} in edges
    assert {"source": "a", "target": "b", "conditional": True} in edges
    assert {"source": "a", "target": "c", "conditional": True} in edges
    assert {"source": "c", "target": "b", "conditional": True} in edges
    assert {"source": "b", "target": "__end__"} in edges


def test_mermaid_has_each_node_and_arrow():
    text = sample().compile().get_graph().draw_mermaid()
    assert text.startswith("graph TD;")
    assert '__start__(["__start__"]):::first' in text
    assert "a -.-> b;" in text


def test_odd_names_are_escaped():
    odd = 'say "hi" <b>'
    builder = StateGraph(State).add_node(odd, lambda state: None).add_edge(START, odd)
    text = builder.compile().get_graph().draw_mermaid()
    assert '"hi"' not in text
    assert "<b>" not in text
    assert "#quot;hi#quot;" in text


def test_the_tree_names_each_node_once():
    text = sample().compile().get_graph().draw_ascii()
    assert text.splitlines()[0] == "__start__"
    assert text.count("(above)") == 1
    for name in ("a", "b", "c", "__end__"):
        assert name in text


def test_xray_shows_the_inside_of_subgraphs():
    outer = StateGraph(State).add_node("inner", sample().compile()).add_edge(START, "inner").compile()
    assert set(outer.get_graph().nodes) == {"__start__", "inner", "__end__"}
    assert "inner:a" in outer.get_graph(xray=True).nodes
    assert 'subgraph inner["inner"]' in outer.get_graph(xray=True).draw_mermaid()
