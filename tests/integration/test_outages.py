"""Runs go on over what happens to servers: ended connections, restarts, crashes. At most there is a delay."""

import asyncio
import operator
import signal
import threading
import time
from typing import Annotated

import psycopg
import pytest
from typing_extensions import TypedDict

from perdure.checkpoint.postgres import PostgresSaver
from perdure.checkpoint.redis import RedisSaver
from perdure.errors import TransientStorageError
from perdure.graph import END, START, StateGraph

STEPS = 60
CALLERS = 4


class State(TypedDict):
    seen: Annotated[list, operator.add]


def looping(saver, ran):
    def step(state, config):
        ran.append((config["configurable"]["thread_id"], len(state["seen"])))
        time.sleep(0.005)
        return {"seen": [len(state["seen"])]}

    builder = StateGraph(State)
    builder.add_node("step", step)
    builder.add_edge(START, "step")
    builder.add_conditional_edges("step", lambda state: END if len(state["seen"]) >= STEPS else "step")
    return builder.compile(checkpointer=saver)


def config_of(n):
    return {"configurable": {"thread_id": f"t{n}"}, "recursion_limit": STEPS + 10}


def run_all(graph, colour, durability):
    if colour == "sync":
        threads = []
        errors = []

        def run(n):
            try:
                graph.invoke({"seen": []}, config_of(n), durability=durability)
            except Exception as e:
                errors.append(e)

        for n in range(CALLERS):
            threads.append(threading.Thread(target=run, args=(n,)))
            threads[-1].start()
        for thread in threads:
            thread.join()
        assert errors == []
        return

    async def run_tasks():
        calls = (graph.ainvoke({"seen": []}, config_of(n), durability=durability) for n in range(CALLERS))
        await asyncio.gather(*calls)

    asyncio.run(run_tasks())


def check(graph, ran):
    for n in range(CALLERS):
        assert graph.get_state(config_of(n)).values["seen"] == list(range(STEPS))
        history = list(graph.get_state_history(config_of(n)))
        parents = [s.parent_config["configurable"]["checkpoint_id"] for s in history[:-1]]
        assert parents == [s.config["configurable"]["checkpoint_id"] for s in history[1:]]
    assert len(ran) == len(set(ran)) == CALLERS * STEPS  # nothing ran twice


@pytest.mark.parametrize("durability", ["sync", "async"])
@pytest.mark.parametrize("colour", ["sync", "async"])
def test_ended_connections(database, colour, durability):
    over = threading.Event()
    ended = []

    def terminate():
        with psycopg.connect(database, autocommit=True) as connection:
            while not over.wait(0.03):
                found = connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'perdure' AND datname = current_database()"
                )
                ended.extend(found.fetchall())

    ran = []
    with PostgresSaver.from_conn_string(database) as saver:
        saver.setup()
        graph = looping(saver, ran)
        enemy = threading.Thread(target=terminate)
        enemy.start()
        try:
            run_all(graph, colour, durability)
        finally:
            over.set()
            enemy.join()
        check(graph, ran)
    assert len(ended) >= 5


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("colour", ["sync", "async"])
def test_restarts_amid_runs(own_postgres, colour, how):
    opened = PostgresSaver.from_conn_string(own_postgres.url())
    runs_through_restarts(opened, colour, lambda: own_postgres.restart(how))


def runs_through_restarts(opened, colour, restart):
    """Run, while something is started again three times."""
    restarts, ran = [], []

    def restarting():
        for _ in range(3):
            time.sleep(0.15)
            restart()
            restarts.append(1)

    with opened as saver:
        saver.setup()
        graph = looping(saver, ran)
        enemy = threading.Thread(target=restarting)
        enemy.start()
        run_all(graph, colour, "sync")
        enemy.join()
        check(graph, ran)
    assert len(restarts) == 3


@pytest.mark.parametrize("who", ["the pooler", "the server", "both"])
@pytest.mark.parametrize("colour", ["sync", "async"])
def test_restarts_of_and_behind_a_pooler(own_postgres, own_pgbouncer, colour, who):
    def both():
        own_postgres.stop()
        own_pgbouncer.stop()
        own_pgbouncer.start(answers=False)
        time.sleep(1)  # it refuses whoever has waited for the server for too long
        own_postgres.start()

    opened = PostgresSaver.from_conn_string(own_pgbouncer.url(own_postgres.url()))
    restart = {"the pooler": own_pgbouncer.restart, "the server": own_postgres.restart, "both": both}[who]
    runs_through_restarts(opened, colour, restart)


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_restarts_of_a_redis_that_syncs_always(own_valkey, colour):
    def restart():
        own_valkey.stop()  # SIGKILL
        own_valkey.start()

    runs_through_restarts(RedisSaver.from_conn_string(own_valkey.url), colour, restart)


def test_an_outage_that_is_too_long_is_told_and_the_run_goes_on_later(own_postgres):
    ran = []
    with PostgresSaver.from_conn_string(own_postgres.url(), retry_for=0.5) as saver:
        saver.setup()
        graph = looping(saver, ran)
        enemy = threading.Timer(0.1, own_postgres.stop)
        enemy.start()
        with pytest.raises(TransientStorageError):
            graph.invoke({"seen": []}, config_of(0), durability="sync")
        enemy.join()
        own_postgres.start()
        state = graph.get_state(config_of(0))
        assert state.next == ("step",)
        done = len(state.values["seen"])
        graph.invoke(None, config_of(0), durability="sync")
        assert graph.get_state(config_of(0)).values["seen"] == list(range(STEPS))
        assert len(ran) - STEPS <= 1, "only the step whose commit failed may run again"
        assert done > 0
