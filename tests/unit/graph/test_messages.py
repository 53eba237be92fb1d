"""Merging chat messages over plain dicts, as where langchain-core isn't installed."""

import pytest

from perdure.errors import InvalidUpdateError
from perdure.graph import message
from perdure.graph.message import REMOVE_ALL_MESSAGES, add_messages, remove_message


@pytest.fixture(autouse=True)
def without_langchain(monkeypatch):
    monkeypatch.setattr(message, "_langchain", lambda: None)


def test_messages_get_ids_and_are_appended():
    merged = add_messages([], ["hi", ("assistant", "hello"), {"role": "user", "content": "bye"}])
    assert [(m["role"], m["content"]) for m in merged] == [("user", "hi"), ("assistant", "hello"), ("user", "bye")]
    assert len({m["id"] for m in merged}) == 3


def test_a_known_id_replaces():
    old = [{"role": "user", "content": "a", "id": "1"}, {"role": "user", "content": "b", "id": "2"}]
    merged = add_messages(old, {"role": "user", "content": "A", "id": "1"})
    assert [m["content"] for m in merged] == ["A", "b"]
    assert old[0]["content"] == "a"


def test_removal_of_one_and_of_all():
    old = [{"role": "user", "content": c, "id": c} for c in "abc"]
    assert [m["id"] for m in add_messages(old, remove_message("b"))] == ["a", "c"]
    fresh = add_messages(old, [remove_message(REMOVE_ALL_MESSAGES), {"role": "user", "content": "new"}])
    assert [m["content"] for m in fresh] == ["new"]
    with pytest.raises(InvalidUpdateError, match="'nobody'"):
        add_messages(old, remove_message("nobody"))


def test_a_non_message_is_named():
    with pytest.raises(InvalidUpdateError, match="not a chat message: 5"):
        add_messages([], 5)


def test_an_update_has_its_ids_before_it_is_stored():
    (written,) = add_messages.on_write([{"role": "user", "content": "x"}])
    once = add_messages([], [written])
    again = add_messages([], [written])
    assert once == again


def test_formats_need_langchain():
    with pytest.raises(InvalidUpdateError, match="needs langchain-core") as error:
        add_messages([], ["x"], format="langchain-openai")
    assert "perdure[langchain]" in error.value.hint
