"""Functions and types of `checkpoint.base` and `checkpoint.serde.types` do on both packages what their names say."""

import operator
from functools import reduce
from importlib import import_module
from typing import Annotated, Any

import pytest
from typing_extensions import TypedDict

PACKAGES = ("langgraph", "perdure")


def fold(value: list, updates: list) -> list:
    return reduce(operator.add, updates, value)


def delta_graph(package: str) -> Any:
    graph = import_module(f"{package}.graph")
    channel = import_module(f"{package}.channels").DeltaChannel
    saver = import_module(f"{package}.checkpoint.memory").InMemorySaver()

    class State(TypedDict):
        log: Annotated[list, channel(fold)]
        plain: str

    builder = graph.StateGraph(State)
    for name in "abc":
        builder.add_node(name, lambda _, name=name: {"log": [name], "plain": name})
    builder.add_edge("__start__", "a").add_edge("a", "b").add_edge("b", "c")
    return builder.compile(checkpointer=saver)


@pytest.mark.filterwarnings("ignore")  # the reference calls delta channels experimental
@pytest.mark.parametrize("package", PACKAGES)
async def test_delta_history_leads_to_the_value(package):
    """Seed and writes add up to the value, wherever a package begins to count."""
    graph = delta_graph(package)
    config = {"configurable": {"thread_id": "t"}}
    for _ in range(2):
        graph.invoke({"log": ["in"]}, config)
    saver = graph.checkpointer
    seen = []
    for snapshot in graph.get_state_history(config):
        found = saver.get_delta_channel_history(config=snapshot.config, channels=["log", "nothing"])
        assert found == await saver.aget_delta_channel_history(config=snapshot.config, channels=["log", "nothing"])
        assert found["nothing"] == {"writes": []}
        writes = [value for _, channel, value in found["log"]["writes"] if channel == "log"]
        seed = found["log"].get("seed", [])
        seen.append(fold(list(getattr(seed, "value", seed)), writes))
        assert seen[-1] == snapshot.values.get("log", [])
    assert seen[0] == ["in", "a", "b", "c"] * 2


@pytest.mark.filterwarnings("ignore")  # deprecated in the reference
@pytest.mark.parametrize("package", PACKAGES)
def test_create_checkpoint(package):
    base = import_module(f"{package}.checkpoint.base")
    channels = import_module(f"{package}.channels")
    full, empty, unknown = (channels.LastValue(int, key) for key in ("full", "empty", "unknown"))
    full.update([1])
    unknown.update([2])
    before = {**base.empty_checkpoint(), "channel_versions": {"full": 1, "empty": 2}, "channel_values": {"old": 0}}
    made = base.create_checkpoint(before, {"full": full, "empty": empty, "unknown": unknown}, 3)
    if package == "langgraph":
        made["channel_values"].pop("empty")  # the mark of emptiness itself becomes the value there
    assert made["channel_values"] == {"full": 1}
    assert made["channel_versions"] == before["channel_versions"]
    assert made["versions_seen"] == before["versions_seen"]
    assert made["id"] > before["id"]
    assert base.create_checkpoint(before, None, 3, id="an id")["channel_values"] == {"old": 0}
    assert base.create_checkpoint(before, None, 3, id="an id")["id"] == "an id"
    assert made["v"] == base.empty_checkpoint()["v"]


@pytest.mark.parametrize("package", PACKAGES)
def test_uuid6(package):
    ids = import_module(f"{package}.checkpoint.base.id")
    made = [ids.uuid6(clock_seq=5) for _ in range(100)]
    assert [str(one) for one in made] == sorted({str(one) for one in made})
    assert all(isinstance(one, ids.UUID) for one in made)
    assert {one.version for one in made} == {6}
    assert {one.clock_seq for one in made} == {5}


def test_every_channel_keeps_the_protocol():
    from perdure import channels
    from perdure.channels.base import BaseChannel
    from perdure.checkpoint.serde.types import ChannelProtocol

    kinds = [kind for kind in vars(channels).values() if isinstance(kind, type) and issubclass(kind, BaseChannel)]
    wanted = [name for name in vars(ChannelProtocol) if not name.startswith("_")]
    assert len(kinds) >= 10
    assert set(wanted) == {"ValueType", "UpdateType", "checkpoint", "from_checkpoint", "update", "get", "consume"}
    for kind in kinds:
        assert [name for name in wanted if not hasattr(kind, name)] == [], kind
    assert isinstance(channels.LastValue(int), ChannelProtocol)
    assert not isinstance(object(), ChannelProtocol)


def test_an_unregistered_type_is_caught_by_the_known_name():
    from perdure.checkpoint.serde.jsonplus import InvalidModuleError, JsonPlusSerializer
    from perdure.checkpoint.serde.registry import TypeRegistry

    class Thing(str):
        __slots__ = ()

    made = JsonPlusSerializer().dumps_typed(Thing("x"))
    with pytest.raises(InvalidModuleError, match="not registered"):
        JsonPlusSerializer(registry=TypeRegistry()).loads_typed(made)


@pytest.mark.filterwarnings("ignore")  # the reference calls delta channels experimental
@pytest.mark.parametrize("package", PACKAGES)
def test_delta_history_of_checkpoints_without_a_value(package):
    """Writes come in the order of their checkpoints, as far back as there is no value."""
    base = import_module(f"{package}.checkpoint.base")
    saver = import_module(f"{package}.checkpoint.memory").InMemorySaver()
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    stored: list[Any] = []
    for at in range(4):
        values = {"log": ["seed"]} if at == 1 else {}
        checkpoint = {
            **base.empty_checkpoint(),
            "channel_values": values,
            "channel_versions": dict.fromkeys(values, at),
        }
        config = saver.put(config, checkpoint, {}, dict.fromkeys(values, at))
        saver.put_writes(config, [("log", f"{at} a"), ("other", 0), ("log", f"{at} b")], f"task {at}")
        stored.append(config)
    found = saver.get_delta_channel_history(config=stored[-1], channels=["log"])["log"]
    assert found["seed"] == ["seed"]
    assert [value for _, _, value in found["writes"]] == ["1 a", "1 b", "2 a", "2 b"]
