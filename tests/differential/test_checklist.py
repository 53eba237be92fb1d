"""The table of features is true: what it names is there, and the page says what it says."""

import ast
from functools import cache

import pytest
from tests.differential import cases, checklist, names
from tests.differential.scenario import CASES

cases.load()
SHOWN = [(feature, one) for part in checklist.CHECKLIST.values() for feature, shown in part.items() for one in shown]


@cache
def defined(file: str) -> frozenset[str]:
    """Return the functions of a file of tests, and those that its parametrised tests are given."""
    tree = ast.parse((checklist.TESTS / file).read_text())
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    given = {
        name.id
        for node in ast.walk(tree)
        if isinstance(node, ast.List)
        for name in node.elts
        if isinstance(name, ast.Name)
    }
    return frozenset(name for name in functions if name.startswith("test_") or name in given)


@cache
def lines() -> tuple[str, ...]:
    return tuple(line.removeprefix("- ") for line in names.PAGE.read_text().split("\n") if line.startswith("- "))


@pytest.mark.parametrize(("feature", "shown"), SHOWN)
def test_what_is_named_is_there(feature, shown):
    kind, _, what = shown.partition(" ")
    if kind == "case":
        assert what in CASES
    elif kind == "difference":
        assert [line for line in lines() if line.startswith(what)], f"no line of docs/differences.md begins so: {what}"
    elif kind == "absent":
        assert what in names.ABSENT
    else:
        file, _, name = shown.partition("::")
        assert name in defined(file)


def test_every_feature_is_shown():
    assert [feature for part in checklist.CHECKLIST.values() for feature, shown in part.items() if not shown] == []


def test_the_page_has_the_table():
    assert checklist.PAGE.read_text().endswith(checklist.table()), "run: python -m tests.differential.checklist"
