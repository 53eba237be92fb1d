"""Every public name of the reference, and what perdure has for it; writes the table in docs/differences.md.

python -m tests.differential.names
"""

import importlib
import pkgutil
import warnings
from pathlib import Path
from types import ModuleType
from typing import ParamSpec, TypeVar

PAGE = Path(__file__).parents[2] / "docs" / "differences.md"
BEGIN, END = "<!-- names: written by tests/differential/names.py -->\n", "<!-- end of names -->\n"

ROOTS = ("langgraph", "langgraph.checkpoint", "langgraph.store", "langgraph.cache")
"""Packages without a file of their own aren't found from the first."""

NOT_FOR_USERS = ("version", "checkpoint.serde.event_hooks")
ELSEWHERE = ("checkpoint.conformance",)
"""Of another distribution, for testing savers: perdure's own kit is `perdure.checkpoint.conformance`."""

BETTER = {
    "types.interrupt": "answers are kept by the question's id",
    "types.CachePolicy": "keys come from encoded values, not from pickle",
    "types.RetryPolicy": "a workflow's tasks aren't run again",
    "func.entrypoint": "a retry gets the tasks' results back",
    "func.task": "kept results are durable before anybody gets them",
    "graph.StateGraph": "two calls on a thread take turns",
    "channels.DeltaChannel": "an ordinary channel: everything is stored as deltas",
    "checkpoint.base.BaseCheckpointSaver": "derives the other colour; commits compare the head",
    "checkpoint.memory.InMemorySaver": "stores what changed; one object for both colours",
    "checkpoint.sqlite.SqliteSaver": "stores what changed; both colours; shared by processes",
    "checkpoint.postgres.PostgresSaver": "stores what changed; both colours; one round trip a superstep",
    "checkpoint.serde.jsonplus.JsonPlusSerializer": "never imports by a stored name",
    "store.memory.InMemoryStore": "knows a time to live; gives out copies",
    "prebuilt.ToolNode": "each call is kept",
    "checkpoint.serde.encrypted.EncryptedSerializer": "reads encrypted rows only, each in its place",
    "checkpoint.memory.PersistentDict": "a file of data, without pickle",
    "store.postgres.base.ANNIndexConfig": "the index is used",
    "types.TracePolicy": "for OpenTelemetry",
    "pregel.remote.RemoteGraph": "needs httpx only",
}

ABSENT = {
    "pregel.debug": "internals of the reference's engine",
    "checkpoint.sqlite.utils": "builds SQL of texts; here it is static",
}


def reference() -> dict[str, list[str]]:
    """Return the public names of every public module of the installed reference, by the module's path in it."""
    found: dict[str, list[str]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for root in ROOTS:
            package = importlib.import_module(root)
            for info in pkgutil.walk_packages(package.__path__, f"{root}.", onerror=lambda _: None):
                path = info.name.removeprefix("langgraph.")
                if (
                    not any(part.startswith("_") for part in path.split("."))
                    and path not in NOT_FOR_USERS
                    and not path.startswith(ELSEWHERE)
                ):
                    _add(found, path)
    return found


def _add(found: dict[str, list[str]], path: str) -> None:
    try:
        names = _public(importlib.import_module(f"langgraph.{path}"))
    except ImportError:  # wants a package that isn't installed
        return
    if names:
        found[path] = names


def _public(module: ModuleType) -> list[str]:
    names = getattr(module, "__all__", None)
    if names is None:
        own = vars(module).items()
        names = [name for name, value in own if getattr(value, "__module__", None) == module.__name__]
    return sorted(
        {name for name in names if not name.startswith("_") and not _is_variable(getattr(module, name, None))}
    )


def _is_variable(value: object) -> bool:
    """Tell whether a name is a type variable: part of how the reference is typed, not of what it does."""
    return isinstance(value, (TypeVar, ParamSpec)) or type(value).__name__ == "TypeVar"


def has(path: str, name: str) -> bool:
    """Tell whether perdure has a name at the same place."""
    try:
        return hasattr(importlib.import_module(f"perdure.{path}"), name)
    except ImportError:
        return False


def why_absent(path: str, name: str) -> str | None:
    """Return the reason for which perdure lacks a name."""
    return ABSENT.get(f"{path}.{name}") or ABSENT.get(path)


def table(names: dict[str, list[str]]) -> str:
    """Return the table: a row a module."""
    rows = ["| module | same | better | absent |", "|---|---|---|---|"]
    total = missing = 0
    for path, all_names in sorted(names.items()):
        there = [name for name in all_names if has(path, name)]
        better = [name for name in there if f"{path}.{name}" in BETTER]
        reasons: dict[str, list[str]] = {}
        for name in all_names:
            if name not in there:
                reasons.setdefault(why_absent(path, name) or "?", []).append(name)
        total, missing = total + len(all_names), missing + len(all_names) - len(there)
        cells = [
            ", ".join(f"`{name}`" for name in there if name not in better),
            "; ".join(f"`{name}`: {BETTER[f'{path}.{name}']}" for name in better),
            "; ".join(f"{', '.join(f'`{n}`' for n in absent)}: {reason}" for reason, absent in reasons.items()),
        ]
        rows.append(f"| `{path}` | " + " | ".join(cells) + " |")
    return f"{total} names in {len(names)} modules, {missing} absent.\n\n" + "\n".join(rows) + "\n"


def main() -> None:
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + "\n" + table(reference()) + "\n" + END + after)


if __name__ == "__main__":
    main()
