"""The pure machine: what is planned, in which order writes are applied, that planning again gives the same ids."""

import operator
from typing import Annotated, TypedDict

import pytest

from perdure.errors import InvalidUpdateError
from perdure.graph import START, StateGraph
from perdure.pregel.machine import Machine, Writes
from perdure.types import Send


class State(TypedDict):
    items: Annotated[list, operator.add]


def machine_of(*edges, nodes="abc"):
    builder = StateGraph(State)
    for name in nodes:
        builder.add_node(name, lambda state: None)
    for edge in edges:
        builder.add_edge(*edge)
    machine = Machine(builder.compile().plan)
    machine.stop = 100
    return machine


def start(machine, value=()):
    machine.apply([Writes((), "__input__", (), [(START, {"items": list(value)})])])
    machine.step += 1
    (task,) = machine.tasks().values()
    task.node.write(task.input, task)
    machine.apply([task])
    machine.step += 1


def test_nodes_are_due_when_a_trigger_has_news():
    machine = machine_of((START, "a"), (START, "b"), (["a", "b"], "c"))
    start(machine)
    tasks = machine.tasks()
    assert [task.name for task in tasks.values()] == ["a", "b"]
    for task in tasks.values():
        task.node.write({"items": [task.name]}, task)
    machine.apply(list(tasks.values()))
    assert [task.name for task in machine.tasks().values()] == ["c"]


def test_planning_again_gives_the_same_ids():
    machine = machine_of((START, "a"), (START, "b"))
    start(machine)
    assert list(machine.tasks()) == list(machine.tasks())
    other = machine_of((START, "a"), (START, "b"))
    start(other)
    assert list(machine.tasks()) == list(other.tasks())


def test_writes_are_applied_in_the_order_of_paths_not_of_ends():
    machine = machine_of((START, "a"), (START, "b"), (START, "c"))
    start(machine)
    tasks = list(machine.tasks().values())
    for task in tasks:
        task.node.write({"items": [task.name]}, task)
    machine.apply(tasks[::-1])
    assert machine.read("items") == ["a", "b", "c"]


def test_all_channels_of_a_superstep_get_one_new_version():
    machine = machine_of((START, "a"))
    start(machine)
    before = dict(machine.versions)
    (task,) = machine.tasks().values()
    task.node.write({"items": ["x"]}, task)
    machine.apply([task])
    changed = {name: v for name, v in machine.versions.items() if v != before.get(name)}
    assert len(set(changed.values())) == 1
    assert changed["items"] > max(before.values())


def test_a_restored_machine_plans_the_same():
    machine = machine_of((START, "a"), (START, "b"))
    start(machine)
    machine.checkpoint_id = "here"
    checkpoint = {
        "id": "here",
        "channel_values": machine.values(),
        "channel_versions": machine.versions,
        "versions_seen": machine.seen,
        "updated_channels": None,
    }
    other = machine_of((START, "a"), (START, "b"))
    other.restore(checkpoint)
    other.step, other.stop = machine.step, machine.stop
    assert list(other.tasks()) == list(machine.tasks())


def test_sends_come_first_and_keep_their_order():
    machine = machine_of((START, "a"))
    machine.apply([Writes((), "x", (), [("__pregel_tasks", Send("b", n)) for n in range(3)])])
    assert [(t.name, t.input) for t in machine.tasks().values()] == [("b", 0), ("b", 1), ("b", 2)]


def test_a_send_to_a_stranger_names_it_and_who_there_is():
    machine = machine_of((START, "a"))
    machine.apply([Writes((), "x", (), [("__pregel_tasks", Send("nobody", 1))])])
    with pytest.raises(InvalidUpdateError, match="'nobody'") as error:
        machine.tasks()
    assert "a, b, c" in error.value.hint


def test_a_write_to_a_stranger_names_the_writer():
    machine = machine_of((START, "a"))
    with pytest.raises(InvalidUpdateError, match=r"'me'.*'nowhere'"):
        machine.apply([Writes((), "me", (), [("nowhere", 1)])])
