"""The functional API: entrypoints, tasks, `previous`, `final`; questions, failures, resumes inside; tasks in nodes."""

import time

from tests.differential.actions import History, Invoke, State, Stream
from tests.differential.cases.building import START_INPUT, Items
from tests.differential.scenario import case

MODES = ("updates", "values", "tasks", "custom")


def answer(value):
    return lambda p: p.Command(resume=value)


def adding(p, **options):
    @p.task(**options)
    def add(x, y=1):
        p.note(f"add{x}")
        time.sleep(0.005 * x)
        return x + y

    return add


@case(Invoke(3), State(), Invoke(2), State(), History())
def workflow(p):
    add = adding(p)

    @p.entrypoint(checkpointer=p.saver())
    def flow(count):
        return sum(future.result() for future in [add(n) for n in range(count)])

    return flow


@case(Stream(3, mode=MODES, ordered=False), State(), only="sync")
def workflow_stream(p):
    add = adding(p)

    @p.entrypoint(checkpointer=p.saver())
    def flow(count):
        return [add(n).result() for n in range(count)]

    return flow


@case(Invoke(1), Invoke(2), Invoke(3), State(), History())
def workflow_previous(p):
    @p.entrypoint(checkpointer=p.saver())
    def flow(count, *, previous):
        p.note(f"{previous}")
        return p.entrypoint.final(value=[count, previous], save=count + (previous or 0))

    return flow


@case(
    Invoke(2),
    State(),
    Invoke(answer("A")),
    State(),
    Invoke(answer("B")),
    State(),
    Invoke(answer("C")),
    State(),
    History(),
)
def workflow_questions(p):
    add = adding(p)

    @p.task(name="asker")
    def ask(what):
        p.note("ask")
        return [p.interrupt(what), p.interrupt(what + " again")]

    @p.entrypoint(checkpointer=p.saver())
    def flow(count):
        first = [future.result() for future in [add(n) for n in range(count)]]
        return [first, ask("why").result(), p.interrupt("own")]

    return flow


@case(Invoke(2), State(), Invoke(None), State(), Invoke(2))
def workflow_failure(p):
    add = adding(p)

    @p.task
    def fail(x):
        p.note("fail")
        if p.count("fail") == 0:
            raise ValueError(f"no {x}")
        return x

    @p.entrypoint(checkpointer=p.saver())
    def flow(count):
        return [add(count).result(), fail(7).result(), add(count + 1).result()]

    return flow


@case(Invoke(2), State())
def workflow_caught_failure(p):
    @p.task
    def fail(x):
        raise ValueError(f"no {x}")

    @p.entrypoint(checkpointer=p.saver())
    def flow(count):
        try:
            fail(count).result()
        except ValueError as error:
            return str(error)

    return flow


@case(Invoke(2), State())
def workflow_retry(p):
    policy = p.RetryPolicy(initial_interval=0.001, jitter=False, retry_on=OSError)

    @p.task(retry_policy=policy)
    def shaky(x):
        p.note("shaky")
        if p.count("shaky") < 2:
            raise OSError("not yet")
        return x

    add = adding(p)

    @p.entrypoint(checkpointer=p.saver())
    def flow(count):
        return add(count).result() + shaky(count).result()

    return flow


@case(Invoke(2), Invoke(answer("yes")), State())
def workflow_nested_tasks(p):
    add = adding(p)

    @p.task
    def twice(x):
        p.note("twice")
        return add(add(x).result()).result()

    @p.entrypoint(checkpointer=p.saver())
    def flow(count):
        return [twice(count).result(), p.interrupt("go on?"), twice(count + 1).result()]

    return flow


@case(Invoke(3), State(), Invoke(answer("yes")), State(), only="async")
def workflow_of_coroutines(p):
    @p.task
    async def add(x):
        p.note(f"add{x}")
        return x + 1

    @p.task
    def plain(x):
        p.note(f"plain{x}")
        return x * 10

    @p.entrypoint(checkpointer=p.saver())
    async def flow(count):
        first = add(1)
        second = plain(2)
        values = [await first, await second, *[await add(n) for n in range(count)]]
        return [values, p.interrupt("go on?"), await add(9)]

    return flow


@case(Invoke(2))
def workflow_without_a_saver(p):
    add = adding(p)

    @p.entrypoint()
    def flow(count):
        return add(count, y=5).result()

    return flow


@case(Invoke({"a": 1}))
def workflow_gets_what_it_asks_for(p):
    @p.task
    def injected(x, *, config):
        return [x, config["configurable"]["thread_id"]]

    @p.entrypoint(checkpointer=p.saver())
    def flow(given, *, config, writer):
        writer("hello")
        return [injected(given).result(), config["configurable"]["thread_id"]]

    return flow


@case(Invoke(START_INPUT), State(), Invoke(answer("yes")), State())
def tasks_in_a_node(p):
    add = adding(p)

    def node(state):
        p.note("node")
        values = [future.result() for future in [add(n) for n in range(3)]]
        return {"items": [values, p.interrupt("go on?"), add(5).result()]}

    builder = p.StateGraph(Items)
    builder.add_node("node", node)
    builder.add_edge(p.START, "node")
    return builder.compile(checkpointer=p.saver())


@case(Invoke(2))
def a_generator_is_no_workflow(p):
    @p.entrypoint()
    def flow(count):
        yield count

    return flow


@case(Invoke(2), State(), Invoke(answer("A")), State())
def a_workflow_in_a_workflow(p):
    add = adding(p)

    @p.entrypoint()
    def inner(count):
        return [add(count).result(), p.interrupt("inner")]

    @p.entrypoint(checkpointer=p.saver())
    def flow(count):
        return [inner.invoke(count), add(count).result()]

    return flow
