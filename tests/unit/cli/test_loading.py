"""Addresses of graphs, right and wrong."""

from __future__ import annotations

import sys

import pytest

from perdure.cli.exits import CommandError
from perdure.cli.loading import load_graph

GRAPHS = """
from typing import TypedDict
from perdure.graph import START, StateGraph
import neighbour

class State(TypedDict):
    n: int

def add(state: State) -> State:
    return {"n": state["n"] + neighbour.STEP}

builder = StateGraph(State).add_node(add).add_edge(START, "add")
compiled = builder.compile(name="mine")
number = 3

def make():
    return builder

def needs(argument):
    return builder
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "graphs_of_test.py").write_text(GRAPHS)
    (tmp_path / "neighbour.py").write_text("STEP = 1\n")
    (tmp_path / "broken_of_test.py").write_text("import surely_not_there\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("graphs_of_test", "neighbour", "broken_of_test"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["builder", "compiled", "make"])
@pytest.mark.parametrize("form", ["graphs_of_test.py", "graphs_of_test"])
def test_builder_compiled_graph_and_factory_in_file_and_module(place, form, name):
    assert load_graph(f"{form}:{name}").invoke({"n": 1}) == {"n": 2}


def test_saver_takes_the_place_of_the_graphs_own(place):
    saver = object()
    compiled = load_graph("graphs_of_test:compiled", saver)
    assert compiled.checkpointer is saver
    assert compiled.name == "mine"
    assert sys.modules["graphs_of_test"].compiled.checkpointer is None


@pytest.mark.parametrize(
    ("address", "message", "hint"),
    [
        ("graphs_of_test.py", "which graph", "path/to/file.py:name"),
        ("graphs_of_tst.py:builder", "no file", "graphs_of_test.py"),
        ("surely.not.there:graph", "no module surely", "can be imported"),
        ("graphs_of_test:bilder", "has no 'bilder'", "did you mean 'builder'"),
        ("graphs_of_test:zzz", "has no 'zzz'", "it has builder, compiled"),
        ("graphs_of_test:number", "is a int, not a graph", "StateGraph"),
        ("graphs_of_test:State", "is a ", "StateGraph"),
        ("graphs_of_test:needs", "without arguments", None),
    ],
)
def test_mistakes(place, address, message, hint):
    with pytest.raises(CommandError) as caught:
        load_graph(address)
    assert message in caught.value.args[0]
    assert hint is None or hint in caught.value.hint


def test_failing_import_inside_the_module_stays_its_own_error(place):
    with pytest.raises(ModuleNotFoundError, match="surely_not_there"):
        load_graph("broken_of_test:graph")
