"""State schemas, private channels, every channel type, `Overwrite`, messages."""

import operator
from dataclasses import dataclass, field
from typing import Annotated, Any, NotRequired

from langchain_core.messages import RemoveMessage
from pydantic import BaseModel
from tests.differential.actions import History, Invoke, State, Stored, Stream, Update
from tests.differential.cases.building import START_INPUT, Items, adder, chain
from tests.differential.scenario import case
from typing_extensions import TypedDict


class Person(BaseModel):
    name: str
    age: int = 5
    tags: Annotated[list[str], operator.add] = []


@dataclass
class Totals:
    total: Annotated[int, operator.add] = 0
    words: list = field(default_factory=list)


def through(p, schema, *nodes, **options):
    """Return a graph over a schema with nodes in a row."""
    builder = p.StateGraph(schema, **options)
    names = [node.__name__ for node in nodes]
    for name, node in zip(names, nodes, strict=True):
        builder.add_node(name, node)
    for one, other in zip((p.START, *names), (*names, p.END), strict=True):
        builder.add_edge(one, other)
    return builder.compile(checkpointer=p.saver())


@case(
    Invoke({"name": "Ada", "tags": ["x"]}),
    State(),
    Invoke(lambda p: Person(name="Bob", age=7)),
    Stream({"name": "Eve"}, ["values", "updates"]),
    Stream({"name": "Eve"}, ["values"], options={"version": "v2"}),
    Invoke({"name": "Eve"}, options={"version": "v2"}),
    Stored(),
    Invoke({"name": 5}),
)
def pydantic_state(p):
    def older(state: Person):
        p.note(f"{type(state).__name__} {state.age}")
        return {"age": state.age + 1, "tags": [state.name]}

    def copy(state: Person):
        return Person(name=state.name + "!", age=state.age)

    return through(p, Person, older, copy)


@case(Invoke({"name": "Ada"}), State(), differs=("wrong-state",))
def a_node_writes_what_the_model_refuses(p):
    def older(state: Person):
        return {"age": "old"}

    return through(p, Person, older)


@case(
    Invoke({"total": 1}),
    State(),
    Invoke(lambda p: Totals(total=2, words=["w"])),
    Stream({"total": 1}, ["values"], options={"version": "v2"}),
    Stored(),
)
def dataclass_state(p):
    def add(state: Totals):
        p.note(f"{type(state).__name__} {state.total}")
        return {"total": 10, "words": [*state.words, "add"]}

    def replace(state: Totals):
        return Totals(total=1, words=state.words)

    return through(p, Totals, add, replace)


@case(Invoke({"question": "q"}), State(), Stream({"question": "q"}, ["values", "updates"]), Stored())
def input_and_output_schemas(p):
    class Question(TypedDict):
        question: str

    class Answer(TypedDict):
        answer: str

    class Both(Question, Answer):
        steps: Annotated[list, operator.add]

    def think(state: Both):
        p.note(str(sorted(state)))
        return {"steps": ["think"]}

    def answer(state: Both):
        p.note(str(sorted(state)))
        return {"answer": state["question"] + "!", "steps": ["answer"]}

    return through(p, Both, think, answer, input_schema=Question, output_schema=Answer)


@case(Invoke({"n": 1}), differs=("output-is-read",))
def output_that_nobody_wrote(p):
    class Result(TypedDict):
        items: Annotated[list, operator.add]

    def count(state: Items):
        return {"n": state["n"] + 1}

    return through(p, Items, count, output_schema=Result)


@case(Invoke({"shown": "s"}), State(), Stream({"shown": "s"}, ["values", "updates"]), History(), Stored())
def private_channel_between_nodes(p):
    class Public(TypedDict):
        shown: str

    class Private(TypedDict):
        hidden: str

    def write(state: Public) -> Private:
        p.note(str(sorted(state)))
        return {"hidden": "h " + state["shown"]}

    def read(state: Private) -> Public:
        p.note(str(sorted(state)))
        return {"shown": state["hidden"]}

    return through(p, Public, write, read)


@case(Invoke("in"), State(), Stored(), Update("by hand"), Invoke(None), State())
def state_of_one_value(p):
    def double(state):
        p.note("double")
        return state + state

    return through(p, Annotated[str, operator.add], double)


@case(Invoke({"needed": 1}), Invoke({"needed": 2, "extra": 3}), State(), Stored())
def optional_keys(p):
    class Loose(TypedDict, total=False):
        needed: int
        extra: NotRequired[int]

    def look(state: Loose):
        p.note(str(sorted(state)))
        return {"needed": state["needed"] + state.get("extra", 10)}

    return through(p, Loose, look)


SYNC = {"durability": "sync"}  # with the default the reference stores topics as later steps have changed them


@case(
    Invoke({"words": ["in"]}, options=SYNC),
    Stored(),
    Invoke({"words": "one more"}, options=SYNC),
    Stream({"words": "x"}, "values", options=SYNC),
    Stored(),
)
def topics(p):
    class State_(TypedDict):
        words: Annotated[Any, p.Topic(str)]
        kept: Annotated[Any, p.Topic(str, True)]

    def a(state):
        p.note(str(state.get("words")))
        return {"words": ["a1", "a2"], "kept": "k"}

    def b(state):
        p.note(str(state.get("words")))
        return {"kept": ["b1", "b2"]}

    return through(p, State_, a, b)


@case(Invoke({"kept": 1}), State(), Invoke({"kept": 2}), Stored(), History())
def ephemeral_untracked_and_any(p):
    class State_(TypedDict):
        kept: int
        brief: Annotated[int, p.EphemeralValue(int)]
        untracked: Annotated[int, p.UntrackedValue(int)]
        either: Annotated[int, p.AnyValue(int)]

    def a(state):
        p.note(str(sorted(state.items())))
        return {"brief": 1, "untracked": 2, "either": 3}

    def b(state):
        p.note(str(sorted(state.items())))
        return {"kept": state["kept"] + 1}

    def c(state):
        p.note(str(sorted(state.items())))

    return through(p, State_, a, b, c)


@case(Invoke({"kept": 1}), State(), Invoke(None), State(), Stored())
def untracked_is_gone_after_a_stop(p):
    class State_(TypedDict):
        kept: int
        untracked: Annotated[int, p.UntrackedValue(int)]

    def a(state):
        return {"untracked": 2}

    def b(state):
        p.note(str(sorted(state.items())))
        return {"kept": 5}

    builder = p.StateGraph(State_)
    builder.add_node("a", a)
    builder.add_node("b", b)
    builder.add_edge(p.START, "a")
    builder.add_edge("a", "b")
    return builder.compile(checkpointer=p.saver(), interrupt_before=["b"])


@case(Invoke({"items": []}), Stored(), Stream({"items": []}, ["values", "updates"]))
def parallel_writes_to_channels_that_take_them(p):
    class State_(TypedDict):
        items: Annotated[list, operator.add]
        either: Annotated[int, p.AnyValue(int)]
        topic: Annotated[Any, p.Topic(int)]
        best: Annotated[int, p.BinaryOperatorAggregate(int, max)]

    builder = p.StateGraph(State_)
    for place, name in enumerate("cab"):
        update = {"items": [name], "either": 1, "topic": place, "best": place}
        builder.add_node(name, lambda state, update=update: update)
        builder.add_edge(p.START, name)
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), State(), Stored(), Invoke({"items": ["next"]}), History())
def parallel_writes_to_a_last_value(p):
    builder = p.StateGraph(Items)
    for place, name in enumerate("ab"):
        builder.add_node(name, adder(p, name, n=place))
        builder.add_edge(p.START, name)
    return builder.compile(checkpointer=p.saver())


@case(Invoke({"items": ["in"]}), Stored(), Stream({"items": ["more"]}, ["updates", "values"]), State())
def overwrite(p):
    def reset(state):
        p.note("reset")
        return {"items": p.Overwrite(["fresh"])}

    def as_dict(state):
        return {"items": {"__overwrite__": [*state["items"], "dict"]}}

    def add(state):
        return {"items": ["add"]}

    return through(p, Items, reset, add, as_dict)


@case(Invoke({"items": ["in"]}), State(), Invoke(lambda p: {"items": p.Overwrite(["given"])}), State())
def overwrite_beside_an_update(p):
    builder = p.StateGraph(Items)
    builder.add_node("a", lambda state: {"items": p.Overwrite(["a"])})
    builder.add_node("b", lambda state: {"items": ["b"]})
    builder.add_node("c", lambda state: {"items": ["c"]})
    for name in "abc":
        builder.add_edge(p.START, name)
    return builder.compile(checkpointer=p.saver())


@case(Invoke({"items": ["in"]}), State())
def two_overwrites_in_a_step(p):
    builder = p.StateGraph(Items)
    for name in "ab":
        builder.add_node(name, lambda state, name=name: {"items": p.Overwrite([name])})
        builder.add_edge(p.START, name)
    return builder.compile(checkpointer=p.saver())


@case(
    Invoke({"messages": [("user", "hello")]}),
    State(),
    Invoke({"messages": "one more"}),
    Stream({"messages": {"role": "user", "content": "x", "id": "7"}}, ["values", "updates", "messages"]),
    Update({"messages": [("ai", "by hand")]}),
    State(),
    Stored(),
    differs=("message-ids", "tuples"),
)
def messages(p):
    def answer(state):
        p.note(str(len(state["messages"])))
        return {"messages": [{"role": "assistant", "content": "hi", "id": "a1"}]}

    def correct(state):
        return {"messages": {"role": "assistant", "content": "hi there", "id": "a1"}}

    return through(p, p.MessagesState, answer, correct)


@case(
    Invoke({"messages": [("user", "1"), ("user", "2")]}),
    State(),
    Invoke({"messages": "3"}),
    Stored(),
    differs=("message-ids", "tuples"),
)
def messages_removed(p):
    def drop_first(state):
        return {"messages": [RemoveMessage(id=state["messages"][0].id), ("ai", "dropped")]}

    def drop_all(state):
        if len(state["messages"]) < 3:
            return None
        return {"messages": [RemoveMessage(id="__remove_all__"), ("ai", "all gone")]}

    return through(p, p.MessagesState, drop_first, drop_all)


@case(Invoke({"messages": []}), State())
def message_to_remove_is_unknown(p):
    def drop(state):
        return {"messages": [RemoveMessage(id="nobody")]}

    return through(p, p.MessagesState, drop)


@case(Invoke({"items": [], "n": 0}), Stored())
def node_with_an_input_schema(p):
    class Narrow(TypedDict):
        n: int

    def look(state):
        p.note(str(sorted(state)))
        return {"items": [sorted(state)]}

    builder = p.StateGraph(Items)
    builder.add_node("look", look, input_schema=Narrow)
    builder.add_edge(p.START, "look")
    return builder.compile(checkpointer=p.saver())


@case(Invoke({}), State())
def node_returns_a_list(p):
    builder = p.StateGraph(Items)
    builder.add_node("a", lambda state: ["not", "a", "dict"])
    builder.add_edge(p.START, "a")
    return builder.compile(checkpointer=p.saver())


@case(Invoke({}), State())
def node_returns_a_number(p):
    builder = p.StateGraph(Items)
    builder.add_node("a", lambda state: 5)
    builder.add_edge(p.START, "a")
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), State(), Stored())
def node_returns_unknown_keys(p):
    builder = p.StateGraph(Items)
    builder.add_node("a", lambda state: {"unknown": 1, "items": ["a"]})
    builder.add_edge(p.START, "a")
    return builder.compile(checkpointer=p.saver())


@case()
def edge_from_an_unknown_node(p):
    builder = chain(p, "a")
    builder.add_edge("nobody", "a")
    return builder.compile()


@case()
def edge_to_an_unknown_node(p):
    builder = chain(p, "a")
    builder.add_edge("a", "nobody")
    return builder.compile()


@case()
def no_entry_point(p):
    builder = p.StateGraph(Items)
    builder.add_node("a", adder(p, "a"))
    return builder.compile()


@case()
def node_added_twice(p):
    builder = chain(p, "a")
    builder.add_node("a", adder(p, "a"))
    return builder.compile()


@case()
def reserved_node_name(p):
    return chain(p, "a").add_node("__start__", adder(p, "x")).compile()


@case()
def node_name_with_a_separator(p):
    return chain(p, "a").add_node("a|b", adder(p, "x")).compile()


@case()
def interrupt_before_an_unknown_node(p):
    return chain(p, "a").compile(checkpointer=p.saver(), interrupt_before=["nobody"])


@case(Invoke(START_INPUT), State(), differs=("unknown-target",))
def branch_to_an_unknown_node(p):
    builder = chain(p, "a")
    builder.add_conditional_edges("a", lambda state: "nobody")
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), State(), differs=("unknown-target",))
def goto_an_unknown_node(p):
    builder = p.StateGraph(Items)
    builder.add_node("a", lambda state: p.Command(goto="nobody"))
    builder.add_edge(p.START, "a")
    return builder.compile(checkpointer=p.saver())


@case(Invoke(START_INPUT), State(), differs=("unknown-target",))
def send_to_an_unknown_node(p):
    builder = p.StateGraph(Items)
    builder.add_node("a", lambda state: p.Command(goto=p.Send("nobody", {})))
    builder.add_edge(p.START, "a")
    return builder.compile(checkpointer=p.saver())
