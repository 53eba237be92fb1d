"""Eight callers of one thread: every input arrives, one after the other."""

import asyncio
import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.race.conftest import EVERY_KIND
from tests.race.graphs import THREAD, inputs_of, is_linear, one, two_steps

from perdure.checkpoint.registry import open_saver

CALLERS = 8
INPUTS = [f"input {n}" for n in range(CALLERS)]


def check(graph, inputs):
    assert sorted(inputs_of(graph)) == sorted(inputs)
    assert is_linear(graph)
    # Each run saw everything that ended before it: a lost update would repeat a length.
    lengths = [item[1] for item in graph.get_state(THREAD).values["items"] if not isinstance(item, str)]
    assert lengths == sorted(set(lengths))
    assert len(lengths) == 2 * len(inputs)
    assert graph.get_state(THREAD).next == ()


@EVERY_KIND
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_threads(saver, durability):
    graph = two_steps(saver)
    with ThreadPoolExecutor(CALLERS) as pool:
        results = list(pool.map(lambda text: graph.invoke(one(text), THREAD, durability=durability), INPUTS))
    for text, result in zip(INPUTS, results, strict=True):
        assert text in result["items"]
    assert sorted(inputs_of(graph)) == INPUTS
    if durability != "exit":
        check(graph, INPUTS)


@EVERY_KIND
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_tasks(saver, durability):
    graph = two_steps(saver)
    results = await asyncio.gather(*(graph.ainvoke(one(text), THREAD, durability=durability) for text in INPUTS))
    for text, result in zip(INPUTS, results, strict=True):
        assert text in result["items"]
    assert sorted(inputs_of(graph)) == INPUTS
    if durability != "exit":
        check(graph, INPUTS)


@EVERY_KIND
async def test_threads_and_tasks_together(saver):
    graph = two_steps(saver)
    sync = [asyncio.to_thread(graph.invoke, one(text), THREAD) for text in INPUTS[::2]]
    tasks = [graph.ainvoke(one(text), THREAD) for text in INPUTS[1::2]]
    await asyncio.gather(*sync, *tasks)
    check(graph, INPUTS)


def test_two_graph_objects_over_one_saver(saver):
    graphs = [two_steps(saver), two_steps(saver)]
    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(lambda n: graphs[n % 2].invoke(one(INPUTS[n]), THREAD), range(CALLERS)))
    check(graphs[0], INPUTS)


def test_two_savers_over_one_database(url):
    with open_saver(url) as one_saver, open_saver(url) as other_saver:
        graphs = [two_steps(one_saver), two_steps(other_saver)]
        with ThreadPoolExecutor(CALLERS) as pool:
            list(pool.map(lambda n: graphs[n % 2].invoke(one(INPUTS[n]), THREAD), range(CALLERS)))
        check(graphs[0], INPUTS)


def test_other_threads_of_a_saver_do_not_wait(saver):
    graph = two_steps(saver)
    configs = [{"configurable": {"thread_id": f"t{n}"}} for n in range(CALLERS)]
    with ThreadPoolExecutor(CALLERS) as pool:
        results = list(pool.map(lambda n: graph.invoke(one(INPUTS[n]), configs[n]), range(CALLERS)))
    assert [result["items"] for result in results] == [[text, ("first", 1), ("second", 2)] for text in INPUTS]


def _call_from_a_process(url: str, name: str, times: int) -> None:
    with open_saver(url) as saver:
        graph = two_steps(saver, 0.002)
        for n in range(times):
            graph.invoke(one(f"{name} {n}"), THREAD)


@pytest.mark.timeout(120)
def test_four_processes(url):
    spawn = multiprocessing.get_context("spawn")
    names = [f"process {n}" for n in range(4)]
    processes = [spawn.Process(target=_call_from_a_process, args=(url, name, 5)) for name in names]
    for process in processes:
        process.start()
    for process in processes:
        process.join(90)
    assert [process.exitcode for process in processes] == [0] * 4
    with open_saver(url) as saver:
        check(two_steps(saver), [f"{name} {n}" for name in names for n in range(5)])
