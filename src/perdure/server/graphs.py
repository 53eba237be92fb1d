"""The graphs that a server has: loaded from the configuration, put on the server's saver and store.

What an address names may be a compiled graph, a builder, a function that makes either (given `config` and `runtime`,
if it has such parameters), or an async or sync context manager of one; of perdure or of LangGraph. What takes no
parameters is made once, when the server starts, so that a mistake in it is seen then.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from perdure.errors import InvalidConfigError, UsageError
from perdure.server.config_file import ConfigFile
from perdure.server.inputs import is_langgraph

_NAMESPACE: Final = uuid.UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")


def assistant_of(graph_id: str) -> str:
    """Return the id of a graph's own assistant: the same on every server, and the one that other servers give it."""
    return str(uuid.uuid5(_NAMESPACE, graph_id))


class Graphs:
    """The graphs by name.

    Args:
        config: Names them.
        folder: What its paths are relative to.
        saver: Where their threads are.
        store: Memory across threads.
    """

    def __init__(self, config: ConfigFile, folder: Path, saver: Any, store: Any) -> None:
        self._specs = config.graph_specs()
        self._folder = folder
        self._saver = saver
        self._store = store
        self._made: dict[str, Any] = {}
        self._makers: dict[str, Callable[..., Any]] = {}
        self._open = AsyncExitStack()
        for place in config.dependencies:
            if place.startswith((".", "/")):
                _add_path(folder / place)

    @property
    def names(self) -> list[str]:
        """Their names."""
        return list(self._specs)

    def description(self, name: str) -> str | None:
        """What the configuration says that a graph does."""
        return self._specs[name].description

    async def load(self) -> None:
        """Import all, and make those that take no parameters.

        Raises:
            InvalidConfigError: One can't be imported, or is no graph.
        """
        for name, spec in self._specs.items():
            where = f"graphs.{name}"
            value = load_object(spec.path, self._folder, where)
            if _is_maker(value) and _parameters(value):
                self._makers[name] = value
            else:
                self._made[name] = self._bound(await self._entered(value, self._open, where), where)

    async def close(self) -> None:
        """Leave the context managers."""
        await self._open.aclose()

    def known(self, name: str) -> bool:
        """Tell whether there is a graph of that name."""
        return name in self._specs

    @asynccontextmanager
    async def open(self, name: str, config: Any = None, user: Any = None) -> AsyncIterator[Any]:
        """Lend a graph, on the server's saver.

        Args:
            name: Its name.
            config: For what makes it from a config.
            user: Who asks, for what makes it from a runtime.

        Raises:
            UsageError: There is no such graph any more.
        """
        if name in self._made:
            yield self._made[name]
            return
        if name not in self._makers:
            raise UsageError(f"there is no graph {name!r}", hint=f"the server has {', '.join(self.names)}")
        async with AsyncExitStack() as stack:
            given = {"configurable": {}, **(config or {})}
            made = self._makers[name](**_arguments(self._makers[name], given, self._store, user))
            yield self._bound(await self._entered(made, stack, f"graphs.{name}"), f"graphs.{name}")

    async def _entered(self, value: Any, stack: AsyncExitStack, where: str) -> Any:
        """Get from what an address names to a graph or a builder."""
        if _is_maker(value):
            value = value()
        if inspect.isawaitable(value):
            value = await value
        made: Any = value
        if hasattr(made, "__aenter__"):
            value = await stack.enter_async_context(made)
        elif hasattr(made, "__enter__") and not _is_graph(made):
            value = stack.enter_context(made)
        if not _is_graph(value):
            raise InvalidConfigError(
                f"{where}: {self._specs[where.partition('.')[2]].path} is a {type(value).__name__}, not a graph",
                hint="a compiled graph, a StateGraph, or a function or context manager that makes one",
            )
        return value

    def _bound(self, graph: Any, where: str) -> Any:
        """Put a graph on the server's saver and store."""
        saver, store = self._saver, self._store
        if is_langgraph(graph):
            from perdure.interop.langgraph import to_langgraph

            builder = graph if _is_builder(graph) else getattr(graph, "builder", None)
            saver, store = to_langgraph(saver), None if store is None else to_langgraph(store)
            saver.learn(getattr(builder, "schemas", ()))
        if _is_builder(graph):
            return graph.compile(checkpointer=saver, store=store)
        update = {"checkpointer": saver}
        if store is not None:
            update["store"] = store
        return graph.copy(update)


def load_object(address: str, folder: Path, where: str) -> Any:
    """Import what `path/file.py:name` or `package.module:name` means.

    Args:
        address: The address.
        folder: What its path is relative to.
        where: The configuration's key, for messages.

    Raises:
        InvalidConfigError: There is no such file, module or name.
    """
    place, colon, name = address.rpartition(":")
    if not colon:
        raise InvalidConfigError(f"{where}: {address!r} names no object", hint="path/to/file.py:name")
    module = _from_file(folder / place, where) if place.endswith(".py") else _from_name(place, folder, where)
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            near = difflib.get_close_matches(part, dir(value), n=1)
            hint = f"did you mean {near[0]!r}?" if near else None
            raise InvalidConfigError(f"{where}: {place} has no {part!r}", hint=hint)
        value = getattr(value, part)
    return value


def _add_path(path: Path) -> None:
    for found in (path / "src", path):
        if found.is_dir() and str(found.resolve()) not in sys.path:
            sys.path.insert(0, str(found.resolve()))


def _from_file(path: Path, where: str) -> ModuleType:
    path = path.resolve()
    if not path.is_file():
        raise InvalidConfigError(f"{where}: there is no file {path}")
    _add_path(path.parent)  # what `python path/file.py` does: the file's neighbours can be imported
    name = path.stem if path.stem.isidentifier() else "graph"
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) != str(path):
        name = f"{name}_{hashlib.blake2s(str(path).encode(), digest_size=4).hexdigest()}"  # another file's name
        known = sys.modules.get(name)
    if known is not None:
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # noqa: PT018 - a .py file that exists has both
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and type hints look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _from_name(name: str, folder: Path, where: str) -> ModuleType:
    _add_path(folder)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as e:
        if e.name is None or not f"{name}.".startswith(f"{e.name}."):
            raise  # an import inside of the module: its own error
        raise InvalidConfigError(
            f"{where}: there is no module {e.name}", hint='"dependencies" names the folders that are imported from'
        ) from None


def _is_compiled(value: Any) -> bool:
    return not inspect.isclass(value) and hasattr(value, "astream") and hasattr(value, "aget_state")


def _is_builder(value: Any) -> bool:
    return not inspect.isclass(value) and hasattr(value, "compile") and hasattr(value, "add_node")


def _is_graph(value: Any) -> bool:
    return _is_compiled(value) or _is_builder(value)


def _is_maker(value: Any) -> bool:
    """Tell whether something makes a graph when it is called: a function, or a class of context managers."""
    is_manager = hasattr(value, "__aenter__") or hasattr(value, "__enter__")
    return callable(value) and not _is_graph(value) and (is_manager or not inspect.isclass(value))


def _parameters(maker: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters that a maker must be given, or knows by name."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [
        p
        for p in inspect.signature(maker).parameters.values()
        if p.kind not in kinds and (p.default is p.empty or p.name in ("config", "runtime"))
    ]


def _arguments(maker: Callable[..., Any], config: Any, store: Any, user: Any) -> dict[str, Any]:
    """Give a maker what it asks for: by name, and whatever else it must have is the config."""
    given: dict[str, Any] = {}
    for parameter in _parameters(maker):
        if parameter.name == "runtime" or "Runtime" in str(parameter.annotation):
            from perdure.runtime import Runtime, ServerInfo

            given[parameter.name] = Runtime(store=store, server_info=ServerInfo(user=user))
        else:
            given[parameter.name] = config
    return given
