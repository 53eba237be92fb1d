"""Finds the graph that `path/file.py:name` or `package.module:name` means."""

from __future__ import annotations

import copy
import difflib
import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from perdure.cli.exits import CommandError

FORM_HINT = "write path/to/file.py:name or package.module:name"


def load_graph(address: str, saver: Any = None) -> Any:
    """Return the compiled graph at `address`, on `saver` if one is given.

    Args:
        address: `path/file.py:name` or `package.module:name`; the name is a compiled graph, a
            `StateGraph`, or a function without arguments that returns either.
        saver: Takes the place of the graph's own checkpointer.

    Raises:
        CommandError: There is no such file, module or name, or it isn't a graph.
    """
    place, colon, name = address.rpartition(":")
    if not colon or not place or not name:
        raise CommandError(f"{address!r} doesn't say which graph", hint=FORM_HINT)
    module = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    return _compiled(_attribute(module, name), address, saver)


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.py")], n=1)
        raise CommandError(f"there is no file {path}", hint=f"did you mean {path.parent / near[0]}?" if near else None)
    # What `python path/file.py` does: the file's neighbours can be imported.
    sys.path.insert(0, str(path.parent.resolve()))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise CommandError(f"{path} can't be imported", hint=FORM_HINT)
    module = importlib.util.module_from_spec(spec)
    # Registered under its name: dataclasses and type hints look their module up.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _load_module(name: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # An import that fails inside the module is the module's own error, and stays one.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        as_path = Path(name.replace(".", "/") + ".py")
        hint = f"there is a file {as_path}" if as_path.is_file() else f"run it where {name} can be imported"
        raise CommandError(f"there is no module {error.name}", hint=hint) from None


def _attribute(module: ModuleType, name: str) -> Any:
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            raise CommandError(f"{module.__name__} has no {name!r}", hint=_suggest(module, name))
        value = getattr(value, part)
    return value


def _suggest(module: ModuleType, name: str) -> str | None:
    near = difflib.get_close_matches(name, vars(module), n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    graphs = [key for key, value in vars(module).items() if _is_builder(value) or _is_compiled(value)]
    return f"it has {', '.join(graphs)}" if graphs else None


def _is_compiled(value: Any) -> bool:
    return not inspect.isclass(value) and hasattr(value, "astream") and hasattr(value, "get_state")


def _is_builder(value: Any) -> bool:
    return not inspect.isclass(value) and hasattr(value, "compile") and hasattr(value, "add_node")


def _compiled(value: Any, address: str, saver: Any) -> Any:
    if _is_builder(value):
        return value.compile(checkpointer=saver)
    if _is_compiled(value):
        return _on_saver(value, saver)
    if callable(value) and not inspect.isclass(value):
        return _compiled(_call(value, address), address, saver)
    raise CommandError(
        f"{address} is a {type(value).__name__}, not a graph",
        hint="a compiled graph, a StateGraph, or a function without arguments that returns one",
    )


def _call(factory: Any, address: str) -> Any:
    try:
        inspect.signature(factory).bind()
    except TypeError as error:
        raise CommandError(f"{address} can't be called without arguments: {error}") from None
    return factory()


def _on_saver(graph: Any, saver: Any) -> Any:
    if saver is None:
        return graph
    graph = copy.copy(graph)
    graph.checkpointer = saver
    return graph
