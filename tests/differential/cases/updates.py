"""`update_state` and `bulk_update_state`, forks, replays, the filters of the history."""

from tests.differential.actions import BulkUpdate, History, Invoke, Mark, State, Stored, Stream, Update
from tests.differential.cases.building import START_INPUT, Items, adder, chain
from tests.differential.scenario import case


def abc(p, **options):
    return chain(p, "a", "b", "c").compile(checkpointer=p.saver(), **options)


@case(Update({"items": ["by hand"]}), State(), Stored(), Invoke(None), Invoke({"items": ["in"]}), History(), Stored())
def update_of_an_empty_thread(p):
    return abc(p)


@case(Update({"items": ["by hand"]}, as_node="a"), State(), Invoke(None), State(), History(), Stored())
def update_of_an_empty_thread_as_a_node(p):
    return abc(p)


@case(Invoke(START_INPUT), Update({"items": ["by hand"], "n": 4}), State(), Invoke(None), History(), Stored())
def update_of_a_finished_thread(p):
    return abc(p)


@case(Invoke(START_INPUT), Update({"items": ["again"]}, as_node="a"), State(), Invoke(None), State(), History())
def update_as_an_earlier_node(p):
    return abc(p)


@case(Invoke(START_INPUT), Update(None), State(), Update({"items": []}), History(), Stored())
def update_with_nothing(p):
    return abc(p)


@case(Invoke(START_INPUT), Update({"items": ["x"]}, as_node="nobody"), Update({"unknown": 1}), Update(5), State())
def update_refused(p):
    return abc(p)


@case(
    Invoke(START_INPUT),
    Update({"items": ["skipped b"]}, as_node="b"),
    State(),
    Stored(),
    Invoke(None),
    State(),
    History(),
)
def update_instead_of_the_next_node(p):
    return abc(p, interrupt_before=["b"])


@case(Invoke(START_INPUT), Update(None, as_node="__end__"), State(), Invoke(None), History(), Stored())
def update_that_ends_the_run(p):
    return abc(p, interrupt_before=["b"])


@case(
    Invoke(START_INPUT),
    Update({"items": ["new in"]}, as_node="__input__"),
    State(),
    Invoke(None),
    History(),
    differs=("input-clears-what-was-due",),
)
def update_as_input(p):
    return abc(p, interrupt_before=["b"])


@case(Invoke(START_INPUT), Update({"items": ["new in"]}, as_node="__start__"), State(), Invoke(None), History())
def update_as_start(p):
    return abc(p)


@case(Invoke(START_INPUT), Update(None, as_node="__copy__"), State(), Invoke(None), History(), Stored())
def copy_of_a_checkpoint(p):
    return abc(p, interrupt_before=["c"])


@case(
    Invoke(START_INPUT),
    Update({"items": ["fork"]}, at=2, mark="fork"),
    State(),
    State(at="fork"),
    Invoke(None, at="fork"),
    State(),
    History(),
    Stored(),
    differs=("updates-are-writes",),
)
def fork_of_an_old_checkpoint(p):
    return abc(p)


@case(
    Invoke(START_INPUT),
    Mark("end"),
    Update({"items": ["fork"]}, at=2, as_node="a"),
    Invoke(None),
    State(),
    State(at="end"),
    Invoke({"items": ["on the old branch"]}, at="end"),
    State(),
    History(),
    Stored(),
    differs=("updates-are-writes",),
)
def two_branches(p):
    return abc(p)


@case(Invoke(START_INPUT), Invoke(None, at=1), History(), Stored(), Invoke(None, at=3), Invoke(None, at=0), History())
def replay(p):
    return abc(p)


@case(Invoke(START_INPUT), Stream(None, ["values", "updates", "checkpoints"], at=3), History())
def replay_streamed(p):
    return abc(p)


@case(Invoke(START_INPUT), Invoke({"items": ["other"]}, at=2), State(), History(), Stored())
def new_input_at_an_old_checkpoint(p):
    return abc(p)


@case(Invoke(START_INPUT), State(at=0), State(at=1), State(at=2), State(at=3), State(at=4))
def states_of_the_past(p):
    return abc(p)


@case(
    Invoke(START_INPUT),
    Update({"items": ["x"]}),
    History({"limit": 2}),
    History({"filter": {"source": "loop"}}),
    History({"filter": {"step": 1}}),
    History({"filter": {"source": "update", "step": 99}}),
    History({"limit": 0}),
)
def history_filters(p):
    return abc(p)


@case(
    BulkUpdate([[({"items": ["one"]}, "a")], [({"items": ["two"]}, "b"), ({"items": ["three"], "n": 3}, "c")]]),
    State(),
    Invoke(None),
    History(),
    Stored(),
)
def bulk_update(p):
    return abc(p)


@case(
    BulkUpdate([]),
    BulkUpdate([[]]),
    BulkUpdate([[({"items": ["x"]}, "nobody")]]),
    BulkUpdate([[({"items": ["in"]}, "__input__")], [({"items": ["x"]}, "a")]]),
    State(),
    History(),
)
def bulk_update_odd(p):
    return abc(p)


@case(Invoke(START_INPUT), Update({"items": ["who?"]}), Update({"items": ["b"]}, as_node="b"), State(), History())
def update_after_parallel_nodes(p):
    builder = p.StateGraph(Items)
    for name in "abc":
        builder.add_node(name, adder(p, name))
    for name in "bc":
        builder.add_edge("a", name)
    builder.add_edge(p.START, "a")
    return builder.compile(checkpointer=p.saver())


@case(
    Invoke(START_INPUT),
    Update({"items": ["instead of b"]}, as_node="b", task=0),
    State(),
    Invoke(None),
    State(),
    History(),
)
def update_of_one_of_two_tasks(p):
    builder = p.StateGraph(Items)
    for name in "abc":
        builder.add_node(name, adder(p, name))
    for name in "bc":
        builder.add_edge("a", name)
    builder.add_edge(p.START, "a")
    return builder.compile(checkpointer=p.saver(), interrupt_before=["b", "c"])


@case(Invoke({"items": [], "n": 9}), Update({"n": 1}, as_node="a"), State(), Invoke(None), State(), History())
def update_takes_the_branch_of_its_node(p):
    builder = p.StateGraph(Items)
    for name in ("a", "big", "small"):
        builder.add_node(name, adder(p, name))
    builder.add_edge(p.START, "a")
    builder.add_conditional_edges("a", lambda s: "big" if s["n"] > 5 else "small", ["big", "small"])
    return builder.compile(checkpointer=p.saver())


@case(State(), History(), Invoke(START_INPUT), Update({"items": []}))
def state_without_saver(p):
    return chain(p, "a").compile()


@case(State(), History(), Invoke(None), State())
def state_of_an_unknown_thread(p):
    return abc(p)


@case(Invoke(START_INPUT, config={"configurable": {}}), Invoke(START_INPUT, config={}), State())
def no_thread_in_the_config(p):
    return abc(p)


@case(
    Invoke(START_INPUT, config={"metadata": {"tag": "x", "n": 1}, "tags": ["t"], "run_name": "r"}),
    History({"filter": {"tag": "x"}}),
    Stored(),
)
def metadata_of_the_config(p):
    return abc(p)


@case(
    Invoke(START_INPUT, config={"configurable": {"thread_id": "t", "user": "u", "level": 3, "deep": {"x": 1}}}),
    State(),
    Stored(),
)
def configurable_in_the_metadata(p):
    return abc(p)


@case(Invoke(START_INPUT, options={"durability": "exit"}), Stored(), Invoke(START_INPUT), History())
def durability_exit(p):
    return abc(p)


@case(
    Invoke(START_INPUT, options={"durability": "sync"}),
    Stored(),
    Stream(START_INPUT, ["values", "checkpoints"], options={"durability": "async"}),
    Stream(START_INPUT, ["values", "checkpoints"], options={"durability": "exit"}),
    History(),
    differs=("exit-parents",),
)
def durability_of_all_kinds(p):
    return abc(p)
