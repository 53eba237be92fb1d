"""The harness itself: it finds a package equal to itself, and sees each kind of wrong result."""

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.pregel import Pregel
from tests.differential import cases
from tests.differential.normalise import Normaliser, Raised, differences
from tests.differential.package import Package
from tests.differential.scenario import CASES, compare, transcript

cases.load()


@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize("name", ["ask_two_graphs_down", "send_fan_out", "two_branches", "every_stream_mode"])
async def test_a_package_is_equal_to_itself(name, colour):
    assert await compare(CASES[name], "langgraph", "langgraph", asynchronous=colour == "async") == []


def lose_writes(patch):
    patch.setattr(InMemorySaver, "put_writes", lambda *args, **kwargs: None)


def lose_the_newest_checkpoint(patch):
    original = InMemorySaver.list
    patch.setattr(InMemorySaver, "list", lambda *args, **kwargs: iter([*original(*args, **kwargs)][1:]))


def lose_a_chunk(patch):
    original = Pregel.stream
    patch.setattr(Pregel, "stream", lambda *args, **kwargs: iter([*original(*args, **kwargs)][:-1]))


def say_that_nothing_is_next(patch):
    original = Pregel.get_state
    patch.setattr(Pregel, "get_state", lambda *args, **kwargs: original(*args, **kwargs)._replace(next=()))


def forget_the_parent(patch):
    original = Pregel.get_state
    patch.setattr(Pregel, "get_state", lambda *args, **kwargs: original(*args, **kwargs)._replace(parent_config=None))


def run_nodes_twice(patch):
    original = Package.note
    patch.setattr(Package, "note", lambda self, label: [original(self, label), original(self, label)])


def store_another_step(patch):
    original = InMemorySaver.put

    def put(self, config, checkpoint, metadata, new_versions):
        return original(self, config, checkpoint, {**metadata, "step": metadata["step"] + 1}, new_versions)

    patch.setattr(InMemorySaver, "put", put)


def change_a_version(patch):
    original = InMemorySaver.put

    def put(self, config, checkpoint, metadata, new_versions):
        seen = {node: {} for node in checkpoint["versions_seen"]}
        return original(self, config, {**checkpoint, "versions_seen": seen}, metadata, new_versions)

    patch.setattr(InMemorySaver, "put", put)


SABOTAGES = [
    (lose_writes, "sibling_finished_before_the_failure"),
    (lose_the_newest_checkpoint, "linear"),
    (lose_a_chunk, "every_stream_mode"),
    (say_that_nothing_is_next, "ask_once"),
    (forget_the_parent, "states_of_the_past"),
    (run_nodes_twice, "linear"),
    (store_another_step, "linear"),
    (change_a_version, "linear"),
]


@pytest.mark.parametrize(("sabotage", "name"), SABOTAGES, ids=[s.__name__ for s, _ in SABOTAGES])
async def test_a_wrong_result_is_seen(sabotage, name, monkeypatch):
    expected = await transcript(CASES[name], "langgraph", asynchronous=False)
    with monkeypatch.context() as patch:
        sabotage(patch)
        wrong = await transcript(CASES[name], "langgraph", asynchronous=False)
    assert differences(expected, wrong)


def test_ids_are_compared_by_identity_not_by_value():
    one, two = "0" * 31 + "1", "0" * 31 + "2"
    assert differences(Normaliser()([one, two, one]), Normaliser()([two, one, two])) == []
    assert differences(Normaliser()([one, two, one]), Normaliser()([two, one, one])) != []


@pytest.mark.parametrize(
    ("first", "second"),
    [([1], (1,)), (1, 1.0), (1, True), ({"a": None}, {}), ([1, 2], [2, 1]), ("1", 1), ({1}, [1])],
)
def test_values_that_are_not_the_same(first, second):
    assert differences(Normaliser()(first), Normaliser()(second))


def test_an_error_may_be_of_a_more_special_class_only():
    class Special(ValueError):
        pass

    raised = Normaliser().raised
    assert differences(raised(ValueError("x")), raised(Special("y"))) == []
    assert differences(raised(Special("x")), raised(ValueError("y"))) != []
    assert differences(raised(ValueError("test: a")), raised(ValueError("test: b"))) != []
    assert isinstance(raised(KeyError()), Raised)
