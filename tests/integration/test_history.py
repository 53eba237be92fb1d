"""A history is read without decoding what nobody asks for."""

from __future__ import annotations

import copy
import pickle
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from typing_extensions import TypedDict

from perdure.checkpoint.base import BaseCheckpointSaver
from perdure.checkpoint.registry import open_saver
from perdure.checkpoint.serde.jsonplus import JsonPlusSerializer
from perdure.checkpoint.sqlite import SqliteSaver
from perdure.graph import END, START, StateGraph
from perdure.types import StateSnapshot


@pytest.fixture(params=["memory", "sqlite"])
def saver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BaseCheckpointSaver[Any]]:
    url = "memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/history.db"
    with open_saver(url) as opened:
        yield opened


class State(TypedDict):
    items: Annotated[list[str], lambda a, b: a + b]
    n: int


class _Counting(JsonPlusSerializer):
    """Counts the long values that are decoded."""

    decoded = 0

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        self.decoded += len(data[1]) > 1000
        return super().loads_typed(data)


def _graph(saver: BaseCheckpointSaver[Any]) -> Any:
    builder = StateGraph(State)
    builder.add_node("step", lambda state: {"items": ["x" * 2000], "n": state["n"] + 1})
    builder.add_edge(START, "step")
    builder.add_conditional_edges("step", lambda state: "step" if state["n"] < 5 else END)
    return builder.compile(checkpointer=saver)


CONFIG: Any = {"configurable": {"thread_id": "t"}}


def test_values_are_decoded_when_asked_for(saver: BaseCheckpointSaver[Any]) -> None:
    graph = _graph(saver)
    graph.invoke({"items": [], "n": 0}, CONFIG)
    saver.serde = counting = _Counting()
    history = list(graph.get_state_history(CONFIG))
    assert [s.metadata["step"] for s in history] == [5, 4, 3, 2, 1, 0, -1]
    assert all(s.config["configurable"]["checkpoint_id"] and s.created_at for s in history)
    assert counting.decoded == 0
    assert [len(s.values.get("items", ())) for s in history] == [5, 4, 3, 2, 1, 0, 0]
    before = counting.decoded
    assert before > 0
    assert [s.next for s in history] == [(), *[("step",)] * 5, ("__start__",)]
    assert counting.decoded == before  # made once


def test_a_deferred_snapshot_is_a_snapshot(saver: BaseCheckpointSaver[Any]) -> None:
    graph = _graph(saver)
    graph.invoke({"items": [], "n": 0}, CONFIG)

    def newest() -> StateSnapshot:
        return next(iter(graph.get_state_history(CONFIG, limit=1)))

    whole = graph.get_state(newest().config)
    assert isinstance(newest(), StateSnapshot)
    assert newest() == whole
    assert whole == newest()
    assert newest() == newest()
    assert (newest() != whole) is False
    assert repr(newest()) == repr(whole)
    values, following, *_, interrupts = newest()
    assert (values, following, interrupts) == (whole.values, (), ())
    assert newest()[0] == whole.values
    assert newest()._asdict() == whole._asdict()
    assert newest()._replace(next=("x",)) == whole._replace(next=("x",))
    assert copy.deepcopy(newest()) == whole
    assert pickle.loads(pickle.dumps(newest())) == whole


def test_what_is_deleted_meanwhile_is_still_in_the_history(saver: BaseCheckpointSaver[Any]) -> None:
    graph = _graph(saver)
    graph.invoke({"items": [], "n": 0}, CONFIG)
    history = list(graph.get_state_history(CONFIG))
    saver.delete_thread("t")
    assert len(history[0].values["items"]) == 5
    assert list(graph.get_state_history(CONFIG)) == []


async def test_a_history_shows_no_more_than_list(tmp_path: Path) -> None:
    class OnlyLoops(SqliteSaver[Any]):
        """Hides checkpoints, as a saver with tenants might."""

        def list(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
            return (found for found in super().list(*args, **kwargs) if found.metadata["source"] == "loop")

        async def alist(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            async for found in super().alist(*args, **kwargs):
                if found.metadata["source"] == "loop":
                    yield found

    with OnlyLoops.from_conn_string(str(tmp_path / "hiding.db")) as saver:
        graph = _graph(saver)
        graph.invoke({"items": [], "n": 0}, CONFIG)
        steps = [5, 4, 3, 2, 1, 0]
        assert [s.metadata["step"] for s in graph.get_state_history(CONFIG)] == steps
        assert [s.metadata["step"] async for s in graph.aget_state_history(CONFIG)] == steps
