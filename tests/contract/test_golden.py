"""Databases that perdure 0.1.0 has made open, are whole, and go on: for ever.

The folder `golden` has them as SQL, the tables as that version made them and the rows that `fill` stored. They aren't
made anew: a later version adds its own. Those of other savers there are read by test_redis, test_objects and
test_storage_format.
"""

from __future__ import annotations

import operator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import apsw
import psycopg
import pytest
from typing_extensions import TypedDict

from perdure.checkpoint.base import Rules
from perdure.checkpoint.postgres import PostgresSaver
from perdure.checkpoint.sqlite import SqliteSaver
from perdure.graph import START, StateGraph
from perdure.types import Command, interrupt

FOLDER = Path(__file__).with_name("golden")


class State(TypedDict):
    items: Annotated[list, operator.add]
    table: dict
    n: int


def graph_of(saver: Any) -> Any:
    """Build the graph that made the threads: lists, a dict of which keys change, a subgraph, and a question."""

    def step(state: State) -> dict[str, Any]:
        n = state["n"]
        table = {**state.get("table", {}), f"key {n % 7}": f"{n} " * 10}
        return {"items": [f"item {n} " + "and so on, " * 4], "table": table, "n": n + 1}

    def ask(state: State) -> dict[str, Any]:
        return {"items": [interrupt(f"question {state['n']}")]}

    inner = StateGraph(State).add_sequence([("ask", ask)]).add_edge(START, "ask").compile()
    builder = StateGraph(State)
    builder.add_node("step", step)
    builder.add_node("inner", inner)
    builder.add_edge(START, "step")
    builder.add_conditional_edges("step", lambda state: "step" if state["n"] % 40 else "inner")
    return builder.compile(checkpointer=saver)


def thread(name: str) -> Any:
    return {"configurable": {"thread_id": name}, "recursion_limit": 100, "metadata": {"customer": name}}


def fill(saver: Any) -> None:
    """Store what the golden databases hold."""
    graph = graph_of(saver)
    for name in ("answered", "waits"):
        graph.invoke({"items": [], "n": 0}, thread(name))
    graph.invoke(Command(resume="yes"), thread("answered"))
    fork = list(graph.get_state_history(thread("answered")))[20]
    graph.update_state(fork.config, {"items": ["forked"]})
    saver.keep("waits", ttl=timedelta(days=9), hold="case 12")


@pytest.fixture(params=["sqlite", "postgres"])
def saver(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    text = (FOLDER / f"{request.param}.sql").read_text()
    if request.param == "sqlite":
        with closing(apsw.Connection(str(tmp_path / "golden.db"))) as connection:
            connection.execute(text)
        opening = SqliteSaver.from_conn_string(str(tmp_path / "golden.db"))
    else:
        url = request.getfixturevalue("database")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(text)
        opening = PostgresSaver.from_conn_string(url)
    with opening as opened:
        yield opened


def test_a_database_of_the_first_version_is_whole_and_goes_on(saver: Any) -> None:
    assert list(saver.threads()) == ["answered", "waits"]
    for name in ("answered", "waits"):
        assert saver.check_thread(name) == []
    assert list(saver.rules()) == [("waits", Rules(timedelta(days=9), "case 12"))]
    graph = graph_of(saver)
    history = list(graph.get_state_history(thread("answered")))
    assert len(history) == 44
    assert history[0].values["items"][-1] == "forked"
    assert [len(one.values.get("items", [])) for one in history[1:4]] == [
        81,
        40,
        39,
    ]  # the inner graph gives back all that it got
    assert history[1].values["items"][-1] == "yes"
    for one in history[2:-1]:
        made = one.values["items"]
        assert made == [f"item {n} " + "and so on, " * 4 for n in range(len(made))]
        newest = {n % 7: n for n in range(len(made))}
        assert one.values.get("table", {}) == {f"key {key}": f"{n} " * 10 for key, n in newest.items()}
    assert len(list(saver.list(None, filter={"customer": "waits"}))) == 42 + 2  # of its own, and of its inner graph
    asked = graph.get_state(thread("waits"))
    assert [one.value for one in asked.interrupts] == ["question 40"]
    done = graph.invoke(Command(resume={asked.interrupts[0].id: "at last"}), thread("waits"))
    assert done["items"][-1] == "at last"
    assert saver.check_thread("waits") == []
    saver.delete_thread("answered")
    assert list(saver.threads()) == ["waits"]
