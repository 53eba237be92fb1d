"""The in-memory store beside the reference's: the same operations, the same answers."""

from importlib import import_module
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

LABELS = st.sampled_from(["a", "b", "ab", "a%", "c"])
SPACES = st.lists(LABELS, min_size=1, max_size=3).map(tuple)
VALUES = st.dictionaries(
    st.sampled_from(["n", "t", "x"]), st.one_of(st.integers(0, 3), st.sampled_from(["s", "t"])), max_size=3
)
FILTERS = st.one_of(
    st.none(),
    VALUES,
    st.fixed_dictionaries({"x": st.fixed_dictionaries({"$ne": st.integers(0, 3)})}),
    st.fixed_dictionaries({"t": st.fixed_dictionaries({"$eq": st.sampled_from(["s", "t"])})}),
)
OPS = st.one_of(
    st.tuples(st.just("put"), SPACES, st.sampled_from("kl"), VALUES),
    st.tuples(st.just("delete"), SPACES, st.sampled_from("kl")),
    st.tuples(st.just("get"), SPACES, st.sampled_from("kl")),
    st.tuples(st.just("search"), st.lists(LABELS, max_size=2).map(tuple), FILTERS),
    st.tuples(
        st.just("list"),
        st.none() | st.lists(st.sampled_from(["a", "*", "ab"]), min_size=1, max_size=2).map(tuple),
        st.none() | st.lists(st.sampled_from(["a", "*", "b"]), min_size=1, max_size=2).map(tuple),
        st.none() | st.integers(1, 3),
    ),
)


def answers(package: str, ops: list[Any]) -> list[Any]:
    store = import_module(f"{package}.store.memory").InMemoryStore()
    if any(op[0] in {"get", "delete"} for op in ops):
        ops = [op for op in ops if op[0] != "list"]  # the reference lists namespaces that are empty, or were only read
    return [answer(store, *op) for op in ops]


def answer(store: Any, name: str, *args: Any) -> Any:
    if name in {"put", "delete"}:
        return getattr(store, name)(*args)
    if name == "get":
        found = store.get(*args)
        return found and (found.namespace, found.key, found.value)
    if name == "search":
        # The order is a deliberate difference: here what was updated last comes first.
        found = store.search(args[0], filter=args[1], limit=100)
        return sorted((item.namespace, item.key, sorted(item.value.items(), key=repr)) for item in found)
    return store.list_namespaces(prefix=args[0], suffix=args[1], max_depth=args[2])


@given(st.lists(OPS, max_size=25))
@settings(max_examples=300, deadline=None)
def test_the_same_answers(ops):
    assert answers("perdure", ops) == answers("langgraph", ops)


PATHS = ["$", "", "a", "a.b", "a[0]", "a[*].b", "a[-1].b", "a[9]", "{a,c}", "*", "a.*", "x.y", "n", "o", "t", "a[1:]"]


@pytest.mark.parametrize("path", PATHS)
def test_the_same_texts_of_paths(path):
    value = {"a": [{"b": "one", "q": 5}, {"b": "two"}], "c": "see", "n": 3, "o": None, "t": True}
    one, two = (import_module(f"{package}.store.base") for package in ("langgraph", "perdure"))
    assert two.get_text_at_path(value, path) == one.get_text_at_path(value, path)
    assert two.tokenize_path(path) == one.tokenize_path(path)


def test_the_same_scores():
    def embed(texts):
        return [[float(len(text)), float(text.count("e")), 1.0] for text in texts]

    def scores(package):
        store = import_module(f"{package}.store.memory").InMemoryStore(
            index={"dims": 3, "embed": embed, "fields": ["text", "tags[*]"]}
        )
        store.put(("d",), "1", {"text": "eee", "tags": ["a", "bbbbbb"]})
        store.put(("d",), "2", {"text": "aaaaaaaaaa"})
        store.put(("d",), "3", {"text": "hidden"}, index=False)
        store.put(("d",), "4", {"other": "e"}, index=["other"])
        return [(i.key, i.score and round(i.score, 5)) for i in store.search(("d",), query="eee")]

    assert scores("perdure") == scores("langgraph")
