"""Savers are found by URL."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from perdure.checkpoint import registry
from perdure.checkpoint.conformance.case import checkpoint, place
from perdure.checkpoint.memory import InMemorySaver
from perdure.checkpoint.registry import open_saver
from perdure.errors import UsageError


def test_memory() -> None:
    with open_saver("memory:") as saver:
        assert isinstance(saver, InMemorySaver)


@pytest.mark.parametrize("form", ["sqlite:x.db", "sqlite:///x.db", "x.db", "./x.db", "sqlite:x"])
def test_relative_paths(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_saver(form) as saver:
        saver.put(place(), checkpoint({"x": 1}), {}, {"x": 1})
    assert [file.name for file in tmp_path.iterdir()] == ["x" if form == "sqlite:x" else "x.db"]


@pytest.mark.parametrize("form", ["sqlite:{}", "sqlite:///{}", "{}"])
def test_absolute_paths(form: str, tmp_path: Path) -> None:
    path = tmp_path / "y.sqlite3"
    with open_saver(form.format(path), synchronous="NORMAL") as saver:
        saver.put(place(), checkpoint({"x": 1}), {}, {"x": 1})
    assert path.exists()


@pytest.mark.parametrize("form", ["sqlite:", "sqlite://", "sqlite::memory:"])
def test_a_database_in_memory(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_saver(form) as saver:
        saver.put(place(), checkpoint({"x": 1}), {}, {"x": 1})
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_scheme_lists_the_known() -> None:
    with pytest.raises(UsageError, match=r"nosuch://(.|\n)*memory:.*sqlite:"):
        open_saver("nosuch://x")


def test_a_host_is_refused() -> None:
    with pytest.raises(UsageError, match="host"):
        open_saver("sqlite://host/x.db")


def test_a_missing_backend_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._ROOMS, "faraway", ("perdure.no_such_room", "faraway"))
    with pytest.raises(UsageError, match=r"pip install 'perdure\[faraway\]'"):
        open_saver("faraway://host")


def _open_theirs(url: str, **options: Any) -> InMemorySaver[int]:
    return InMemorySaver(**options)


def test_third_parties_add_schemes(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("theirs", f"{__name__}:_open_theirs", registry.GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda self: _open_theirs)
    monkeypatch.setattr(registry, "_points", lambda: [point])
    with open_saver("theirs://x") as saver:
        assert isinstance(saver, InMemorySaver)
