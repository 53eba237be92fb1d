"""What Prometheus is told of runs."""

import asyncio
import operator
from typing import Annotated

import pytest
from prometheus_client import CollectorRegistry
from typing_extensions import TypedDict

from perdure.checkpoint.memory import InMemorySaver
from perdure.graph import START, StateGraph
from perdure.interop.prometheus import Figures, instrument
from perdure.interop.watching import Both
from perdure.types import interrupt


class State(TypedDict):
    n: Annotated[int, operator.add]


def graph(node, name="counted"):
    return StateGraph(State).add_node("node", node).add_edge(START, "node").compile(InMemorySaver(), name=name)


def stop(state):
    raise ZeroDivisionError


@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize(
    ("node", "outcome"),
    [
        (lambda state: {"n": 1}, "done"),
        (lambda state: {"n": interrupt("how many?")}, "interrupted"),
        (stop, "ZeroDivisionError"),
    ],
)
def test_runs_supersteps_and_storage_are_measured(colour, node, outcome):
    registry = CollectorRegistry()
    counted = instrument(graph(node), Figures(registry))
    config = {"configurable": {"thread_id": "t"}}
    try:
        if colour == "sync":
            counted.invoke({"n": 1}, config)
        else:
            asyncio.run(counted.ainvoke({"n": 1}, config))
    except ZeroDivisionError:
        assert outcome == "ZeroDivisionError"
    value = registry.get_sample_value
    assert value("perdure_graph_runs_total", {"graph": "counted", "outcome": outcome}) == 1
    assert value("perdure_superstep_seconds_count", {"graph": "counted"}) == 2
    assert value("perdure_storage_seconds_count", {"operation": "load"}) == 1
    assert value("perdure_storage_seconds_count", {"operation": "store"}) >= 2


def test_one_set_of_figures_serves_many_graphs_and_a_second_watcher():
    registry = CollectorRegistry()
    figures = Figures(registry)
    for name in ("a", "b"):
        watched = graph(lambda state: {"n": 1}, name).copy({"observer": Both(Figures(CollectorRegistry()), figures)})
        watched.invoke({"n": 1}, {"configurable": {"thread_id": "t"}})
    done = [registry.get_sample_value("perdure_graph_runs_total", {"graph": g, "outcome": "done"}) for g in "ab"]
    assert done == [1, 1]
    with pytest.raises(ValueError, match="Duplicated"):
        Figures(registry)
