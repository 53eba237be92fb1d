"""JSON that people type, and what they are told when it is wrong."""

from __future__ import annotations

import io

import pytest

from perdure.cli.arguments import parse_answers, parse_json
from perdure.cli.exits import CommandError, Exit


def test_json_from_the_argument_a_file_and_stdin(tmp_path, monkeypatch):
    (tmp_path / "in.json").write_text('{"n": 1}')
    monkeypatch.setattr("sys.stdin", io.StringIO("[1, 2]"))
    assert parse_json('"x"', "--input") == "x"
    assert parse_json(f"@{tmp_path / 'in.json'}", "--input") == {"n": 1}
    assert parse_json("-", "--input") == [1, 2]


def test_error_points_at_the_place():
    with pytest.raises(CommandError) as caught:
        parse_json('{"a": 1,\n "b": oops}', "--input")
    message = caught.value.args[0]
    assert "line 2, column 7" in message
    line, caret = message.splitlines()[1:]
    assert line[caret.index("^")] == "o"
    assert caught.value.exit_code == Exit.USAGE


def test_caret_stays_under_the_place_in_a_long_line():
    text = "[" + "1, " * 200 + "x]"
    with pytest.raises(CommandError) as caught:
        parse_json(text, "--input")
    line, caret = caught.value.args[0].splitlines()[1:]
    assert line[caret.index("^")] == "x"


@pytest.mark.parametrize(("text", "hint"), [("yes", "quoted twice"), ("{'a': 1}", "double quotes")])
def test_common_mistakes_get_a_hint(text, hint):
    with pytest.raises(CommandError) as caught:
        parse_json(text, "--answer")
    assert hint in caught.value.hint


def test_missing_file_is_named(tmp_path):
    with pytest.raises(CommandError, match=r"no\.json: No such file"):
        parse_json(f"@{tmp_path}/no.json", "--input")


def test_answers_by_id():
    assert parse_answers(['a="x=y"', "b=1"]) == {"a": "x=y", "b": 1}
    with pytest.raises(CommandError, match="ID=JSON"):
        parse_answers(["a"])
