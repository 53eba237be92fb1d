"""`interrupt()`, resume by value and by id, `interrupt_before` and `interrupt_after`."""

from tests.differential.actions import History, Invoke, ResumeAll, State, Stored, Stream, SubgraphState, Update
from tests.differential.cases.building import START_INPUT, Items, adder, chain
from tests.differential.scenario import case

ONE_BY_ONE = {"max_concurrency": 1}  # interrupts are reported in the order in which tasks end
ALL = ("values", "updates", "custom", "messages", "checkpoints", "tasks", "debug")


def resume(value):
    return lambda p: p.Command(resume=value)


def asker(p, name, *questions):
    """Return a node that asks each question in turn and returns the answers."""

    def node(state):
        p.note(name)
        return {"items": [name, *(p.interrupt(question) for question in questions)]}

    return node


def one_asker(p, *questions, **options):
    builder = p.StateGraph(Items)
    builder.add_node("before", adder(p, "before"))
    builder.add_node("ask", asker(p, "ask", *questions))
    builder.add_node("after", adder(p, "after"))
    for first, second in ((p.START, "before"), ("before", "ask"), ("ask", "after")):
        builder.add_edge(first, second)
    return builder.compile(checkpointer=p.saver(), **options)


@case(
    Invoke(START_INPUT),
    State(),
    History(),
    Stored(),
    Invoke(resume("yes")),
    State(),
    History(),
    Stored(),
    differs=("answers-by-id",),
)
def ask_once(p):
    return one_asker(p, "sure?")


@case(
    Invoke(START_INPUT),
    Invoke(resume(1)),
    State(),
    Stored(),
    Invoke(None),
    State(),
    Invoke(resume({"deep": [2]})),
    State(),
    Stored(),
    Invoke(resume("late")),
    State(),
    differs=("one-answer-once", "answers-by-id"),
)
def ask_twice_in_a_node(p):
    return one_asker(p, {"first": 1}, ["second"])


@case(Stream(START_INPUT, ALL), Stream(resume("ok"), ALL), History())
def ask_streamed(p):
    return one_asker(p, "sure?")


@case(Stream(START_INPUT, ["values"]), Stream(START_INPUT, "updates"), Stream(None, "values"), State())
def new_input_instead_of_an_answer(p):
    return one_asker(p, "sure?")


@case(
    Invoke(START_INPUT, options={"durability": "exit"}),
    Stored(),
    Invoke(resume(1)),
    Stored(),
    differs=("answers-by-id",),
)
def ask_with_durability_exit(p):
    return one_asker(p, "sure?")


@case(
    Invoke(START_INPUT, options={"version": "v2"}),
    Stream(resume(1), ["values", "updates"], options={"version": "v2"}),
    State(),
)
def ask_with_shapes_of_version_two(p):
    return one_asker(p, "sure?", "really?")


def several_askers(p, *names):
    builder = p.StateGraph(Items)
    for name in names:
        builder.add_node(name, asker(p, name, f"{name}?"))
        builder.add_edge(p.START, name)
        builder.add_edge(name, "end")
    builder.add_node("calm", adder(p, "calm"))
    builder.add_edge(p.START, "calm")
    builder.add_node("end", adder(p, "end"))
    return builder.compile(checkpointer=p.saver())


@case(
    Invoke(START_INPUT, config=ONE_BY_ONE),
    State(),
    Stored(),
    Invoke(resume("plain"), config=ONE_BY_ONE),
    State(),
    ResumeAll(lambda question: question + " yes"),
    State(),
    Stored(),
    differs=("answers-by-id",),
)
def several_tasks_ask(p):
    return several_askers(p, "a", "b", "c")


@case(Stream(START_INPUT, "updates", ordered=False), State(), ResumeAll(str), History())
def several_tasks_ask_streamed(p):
    return several_askers(p, "a", "b")


@case(Invoke(START_INPUT, config=ONE_BY_ONE), Stream(None, ["values", "updates", "tasks"]), State())
def resume_streamed_beside_a_finished_task(p):
    return several_askers(p, "a")


@case(
    Invoke({"items": [], "n": 3}, config=ONE_BY_ONE),
    State(),
    ResumeAll(lambda q: q * 2),
    State(),
    Stored(),
    differs=("answers-by-id",),
)
def sends_ask(p):
    def work(state):
        p.note(f"work {state['i']}")
        return {"items": [p.interrupt(state["i"])]}

    builder = p.StateGraph(Items)
    builder.add_node("work", work)
    builder.add_conditional_edges(p.START, lambda s: [p.Send("work", {"i": i}) for i in range(s["n"])], ["work"])
    return builder.compile(checkpointer=p.saver())


@case(
    Invoke(START_INPUT),
    Invoke(lambda p: p.Command(resume="yes", update={"items": ["by hand"]})),
    State(),
    Stored(),
    differs=("answers-by-id",),
)
def resume_with_an_update(p):
    return one_asker(p, "sure?")


@case(
    Invoke(START_INPUT),
    Update({"items": ["by hand"]}, as_node="before"),
    State(),
    Invoke(None),
    Invoke(resume("x")),
    State(),
    Stored(),
    differs=("answers-by-id",),
)
def update_while_asked(p):
    return one_asker(p, "sure?")


@case(Invoke(START_INPUT), Invoke(resume("first")), Invoke(None, at=1), State(), Invoke(resume("again")), History())
def replay_of_an_answered_interrupt(p):
    return one_asker(p, "sure?")


@case(
    Invoke(START_INPUT),
    Invoke(resume("first")),
    Invoke(resume("other"), at=1),
    State(),
    History(),
    Stored(),
    differs=("answers-by-id",),
)
def answer_again_at_an_older_checkpoint(p):
    return one_asker(p, "sure?")


@case(
    Invoke(resume("too early")),
    Invoke(START_INPUT),
    Invoke(resume({"0" * 32: "nobody asked"})),
    State(),
    differs=("answer-to-nothing",),
)
def answer_to_nothing(p):
    return one_asker(p, "sure?")


@case(Invoke(START_INPUT), Invoke(resume(1)))
def ask_without_saver(p):
    builder = p.StateGraph(Items)
    builder.add_node("ask", asker(p, "ask", "?"))
    builder.add_edge(p.START, "ask")
    return builder.compile()


@case(Invoke(START_INPUT), State(), Invoke(None), State(), Stored(), History())
def ask_in_a_loop_stops_each_time(p):
    def ask(state):
        p.note("ask")
        return {"items": [p.interrupt(state["n"])], "n": state["n"] + 1}

    builder = p.StateGraph(Items)
    builder.add_node("ask", ask)
    builder.add_edge(p.START, "ask")
    builder.add_conditional_edges("ask", lambda state: "ask" if state["n"] < 3 else p.END)
    return builder.compile(checkpointer=p.saver(), interrupt_before=["ask"])


@case(
    Invoke(START_INPUT),
    State(),
    Stored(),
    Invoke(None),
    State(),
    Stored(),
    Invoke(None),
    History(),
    Invoke({"items": ["fresh"]}),
    Update({"items": ["by hand"]}),
    Invoke(None),
    State(),
    History(),
)
def interrupt_before_some(p):
    return chain(p, "a", "b", "c").compile(checkpointer=p.saver(), interrupt_before=["b", "c"])


@case(
    Stream(START_INPUT, ALL), State(), Stored(), Stream(None, ["updates", "values"]), Stream(None), State(), History()
)
def interrupt_after_some(p):
    return chain(p, "a", "b", "c").compile(checkpointer=p.saver(), interrupt_after=["a", "b"])


@case(Stream(START_INPUT, "updates"), Stream(None), Stream(None), Stream(None), Stream(None), State(), History())
def interrupt_before_and_after_all(p):
    return chain(p, "a", "b").compile(checkpointer=p.saver(), interrupt_before="*", interrupt_after="*")


@case(
    Invoke(START_INPUT, options={"interrupt_before": ["b"]}),
    State(),
    Invoke(None, options={"interrupt_after": ["b"]}),
    State(),
    Invoke(None),
    Stored(),
)
def interrupts_given_at_the_call(p):
    return chain(p, "a", "b", "c").compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), State(), Invoke(None), State(), History())
def interrupt_before_a_parallel_task(p):
    builder = p.StateGraph(Items)
    for name in "abc":
        builder.add_node(name, adder(p, name))
    for name in "bc":
        builder.add_edge("a", name)
    builder.add_edge(p.START, "a")
    return builder.compile(checkpointer=p.saver(), interrupt_before=["b"])


def nested_asker(p, depth):
    builder = p.StateGraph(Items)
    builder.add_node("before", adder(p, f"before {depth}"))
    builder.add_node("ask", asker(p, f"ask {depth}", f"{depth}?") if depth == 0 else nested_asker(p, depth - 1))
    builder.add_node("after", adder(p, f"after {depth}"))
    for first, second in ((p.START, "before"), ("before", "ask"), ("ask", "after")):
        builder.add_edge(first, second)
    return builder.compile(checkpointer=p.saver() if depth == 2 else None)


@case(
    Invoke(START_INPUT),
    State(),
    State(subgraphs=True),
    SubgraphState(),
    SubgraphState(history=True),
    Stored(),
    Invoke(resume("deep")),
    State(subgraphs=True),
    History(),
    Stored(),
    differs=("answers-by-id",),
)
def ask_two_graphs_down(p):
    return nested_asker(p, 2)


@case(
    Stream(START_INPUT, ["updates", "values"], options={"subgraphs": True}),
    Stream(resume("deep"), ["updates", "tasks", "debug"], options={"subgraphs": True}),
)
def ask_two_graphs_down_streamed(p):
    return nested_asker(p, 2)


@case(
    Invoke({"items": []}, config=ONE_BY_ONE),
    State(subgraphs=True),
    ResumeAll(str.upper),
    State(subgraphs=True),
    Stored(),
    differs=("answers-by-id",),
)
def two_subgraphs_ask(p):
    def inner(name):
        builder = p.StateGraph(Items)
        builder.add_node("ask", asker(p, name, f"{name}?"))
        builder.add_edge(p.START, "ask")
        return builder.compile()

    builder = p.StateGraph(Items)
    for name in ("one", "two"):
        builder.add_node(name, inner(name))
        builder.add_edge(p.START, name)
    return builder.compile(checkpointer=p.saver())


@case(
    Invoke(START_INPUT),
    State(),
    Invoke(resume("a")),
    Invoke(resume("b")),
    State(),
    Stored(),
    differs=("answers-by-id",),
)
def ask_around_a_subgraph_call(p):
    def call(state):
        p.note("call")
        first = p.interrupt("outer?")
        inner = one_question.invoke({"items": [], "n": 0})
        return {"items": [first, *inner["items"]]}

    inner_builder = p.StateGraph(Items)
    inner_builder.add_node("ask", asker(p, "inner", "inner?"))
    inner_builder.add_edge(p.START, "ask")
    one_question = inner_builder.compile()
    builder = p.StateGraph(Items)
    builder.add_node("call", call)
    builder.add_edge(p.START, "call")
    return builder.compile(checkpointer=p.saver())
