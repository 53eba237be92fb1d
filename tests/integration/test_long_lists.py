"""Lists of more than a processor's cache: each checkpoint has what the state was, whatever nodes did to it."""

import copy
import operator
from pathlib import Path
from typing import Annotated, Any

import pytest
from typing_extensions import TypedDict

from perdure.checkpoint.registry import open_saver
from perdure.graph import END, START, StateGraph

CONFIG: Any = {"configurable": {"thread_id": "t"}}


class State(TypedDict):
    items: Annotated[list[dict[str, str]], operator.add]
    n: int


def graph_on(saver: Any, seen: dict[int, list[dict[str, str]]]) -> Any:
    """Make a graph whose node notes what it gets."""

    def step(state: State) -> dict[str, Any]:
        n = state["n"]
        seen[n] = copy.deepcopy(state["items"])
        if n % 7 == 3:
            state["items"][n // 2]["text"] = f"changed in place by {n}"
        return {"items": [{"text": f"{n}," * 10_000}], "n": n + 1}

    builder = StateGraph(State)
    builder.add_node("step", step)
    builder.add_edge(START, "step")
    builder.add_conditional_edges("step", lambda state: "step" if state["n"] % 30 else END)
    return builder.compile(checkpointer=saver)


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_each_checkpoint_of_a_long_list_is_as_it_was(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}" if store == "sqlite" else request.getfixturevalue("database")
    seen: dict[int, list[dict[str, str]]] = {}
    with open_saver(url) as saver:
        graph_on(saver, seen).invoke({"items": [], "n": 0}, CONFIG)
    branch: dict[int, list[dict[str, str]]] = {}
    with open_saver(url) as saver:
        graph = graph_on(saver, branch)
        history = {state.values["n"]: state for state in graph.get_state_history(CONFIG) if state.values.get("n")}
        assert len(history) == len(seen) == 30
        for n in range(1, 30):
            assert history[n].values["items"] == seen[n], n
        graph.update_state(history[20].config, {"items": [{"text": "a branch"}]})
        graph.invoke(None, CONFIG)
        assert branch[20] == [*seen[20], {"text": "a branch"}]
    with open_saver(url) as saver:
        assert not list(saver.check_thread("t"))
        states = list(graph_on(saver, {}).get_state_history(CONFIG))
        assert [state.values["items"] for state in states if state.values.get("n") == 25] == [branch[25], seen[25]]
