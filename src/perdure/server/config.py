"""The configuration file: `perdure.json`, with the keys of `langgraph.json`, which is read too.

A mistake is told with the file, the key, and what to do about it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from perdure.errors import InvalidConfigError
from perdure.server import config_file
from perdure.server.config_file import ConfigFile, Section

__all__ = ["NAMES", "find_config", "load_config", "read_env"]

NAMES: Final = ("perdure.json", "langgraph.json")
"""Names that are looked for, in this order."""


_REFUSED: Final = {
    "encryption": "set PERDURE_ENCRYPTION_KEYS instead: see docs/configuration.md",
    "priority": "a run's own `priority` says which is taken first",
}
"""Keys of langgraph.json that would mean something else than they say if they were ignored."""


def find_config(given: Path | None, folder: Path) -> Path:
    """Return the configuration file: the given one, or the first of `NAMES` in a folder.

    Raises:
        InvalidConfigError: There is none.
    """
    if given is not None:
        if not given.is_file():
            raise InvalidConfigError(f"there is no file {given}", hint="--config PATH names the configuration file")
        return given
    for name in NAMES:
        if (folder / name).is_file():
            return folder / name
    raise InvalidConfigError(
        f"{folder} has no perdure.json and no langgraph.json",
        hint='write one: {"graphs": {"agent": "./agent.py:graph"}}, or name one with --config PATH',
    )


def load_config(path: Path) -> ConfigFile:
    """Read and check a configuration file.

    Raises:
        InvalidConfigError: It has a mistake; the message says where, and the hint what to do.
    """
    text = path.read_text(encoding="utf-8")
    try:
        raw = msgspec.json.decode(text)
    except msgspec.DecodeError as e:
        raise InvalidConfigError(f"{path} is not JSON: {_place(text, str(e))}", hint=_json_hint(text)) from e
    if not isinstance(raw, dict):
        raise InvalidConfigError(f"{path} must be a JSON object", hint='{"graphs": {"agent": "./agent.py:graph"}}')
    for key, hint in _REFUSED.items():
        if raw.get(key) is not None:
            raise InvalidConfigError(f"{path}: {key}: not supported", hint=hint)
    try:
        config = msgspec.convert(raw, ConfigFile)
    except msgspec.ValidationError as e:
        raise _explained(path, e) from e
    _check_graphs(path, config)
    _check_queues(path, config)
    for key, hint in _without_effect(config):
        raise InvalidConfigError(f"{path}: {key}: would have no effect here", hint=hint)
    return config


def _without_effect(config: ConfigFile) -> Iterator[tuple[str, str]]:
    """Yield what a configuration says that this server wouldn't do, and what to do instead."""
    auth, saver, store = config.auth, config.checkpointer, config.store
    if auth is not None and not auth.disable_studio_auth:
        yield "auth.disable_studio_auth", "leave it out: a studio is asked who it is, as every client"
    if auth is not None and auth.cache is not None and auth.path is None:
        yield "auth.cache", "it remembers what `authenticate` found: name the Auth object in auth.path"
    if saver is not None and saver.serde is not None and saver.serde.pickle_fallback:
        yield "checkpointer.serde.pickle_fallback", "nothing is pickled: register the types, see docs/serialization.md"
    for name, queue in config.queues.items():
        if queue.per_key is not None and queue.per_key.max_running is None and queue.per_key.rate is None:
            yield f"queues.{name}.per_key", "say max_running or rate"
    if store is not None and store.path is not None and (store.index is not None or store.ttl is not None):
        yield f"store.{'ttl' if store.index is None else 'index'}", "the store of store.path has it by itself"


def _place(text: str, message: str) -> str:
    """Turn msgspec's byte into a line and a column."""
    found = re.search(r"\(byte (\d+)\)", message)
    if not found:
        return message
    before = text.encode()[: int(found[1])].decode(errors="replace")
    line = before.count("\n") + 1
    return f"{message[: found.start()].strip()} at line {line}, column {len(before) - before.rfind(chr(10))}"


def _json_hint(text: str) -> str | None:
    if re.search(r",\s*[}\]]", text):
        return "JSON has no comma before } and ]"
    if re.search(r"^\s*(//|#)", text, re.MULTILINE):
        return "JSON has no comments"
    return None


def _explained(path: Path, error: msgspec.ValidationError) -> InvalidConfigError:
    """Say which key is wrong, and which one may have been meant."""
    message = str(error)
    where = (re.search(r"at `\$\.?(.*?)`$", message) or ["", ""])[1]
    if unknown := re.search(r"unknown field `(.*?)`", message):
        key = ".".join(part for part in (where, unknown[1]) if part)
        near = difflib.get_close_matches(unknown[1], _known_keys(where), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(_known_keys(where))}"
        return InvalidConfigError(f"{path}: {key}: there is no such key", hint=hint)
    if missing := re.search(r"missing required field `(.*?)`", message):
        key = ".".join(part for part in (where, missing[1]) if part)
        hint = '"graphs": {"agent": "./agent.py:graph"}' if key == "graphs" else f"add {missing[1]!r}"
        return InvalidConfigError(f"{path}: {key}: is missing", hint=hint)
    return InvalidConfigError(f"{path}: {where or 'the file'}: {message.partition(' - at ')[0]}")


def _known_keys(where: str) -> list[str]:
    """Return the keys of a part of the file."""
    kind: Any = ConfigFile
    for part in where.replace("[...]", "").split(".") if where else ():
        hint = kind.__annotations__.get(part, "") if hasattr(kind, "__annotations__") else ""
        name = re.search(r"\b([A-Z]\w+)", str(hint))
        kind = getattr(config_file, name[1], Section) if name else Section
    return [field.encode_name for field in msgspec.structs.fields(kind)]


def _check_graphs(path: Path, config: ConfigFile) -> None:
    if not config.graphs:
        raise InvalidConfigError(f"{path}: graphs: there are none", hint='"graphs": {"agent": "./agent.py:graph"}')
    for name, spec in config.graph_specs().items():
        place, colon, variable = spec.path.rpartition(":")
        if not colon or not place or not variable:
            raise InvalidConfigError(
                f"{path}: graphs.{name}: {spec.path!r} doesn't say which graph",
                hint="write ./path/to/file.py:name or package.module:name",
            )
        if place.endswith((".js", ".ts", ".mjs", ".mts", ".tsx")):
            raise InvalidConfigError(f"{path}: graphs.{name}: {place} is not Python", hint="graphs are Python's here")
        if place.endswith(".py") and not (path.parent / place).is_file():
            folder = (path.parent / place).parent
            near = difflib.get_close_matches(Path(place).name, [p.name for p in folder.glob("*.py")], n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"paths are relative to {path.parent}"
            raise InvalidConfigError(f"{path}: graphs.{name}: there is no file {place}", hint=hint)


def _check_queues(path: Path, config: ConfigFile) -> None:
    owners: dict[str, str] = {}
    for name, spec in config.queues.items():
        for graph in spec.graphs:
            if graph not in config.graphs:
                near = difflib.get_close_matches(graph, config.graphs, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"graphs: {', '.join(config.graphs)}"
                raise InvalidConfigError(f"{path}: queues.{name}.graphs: there is no graph {graph!r}", hint=hint)
            if graph in owners:
                where = f"queues.{name}.graphs: {graph!r} is in {owners[graph]!r} already"
                raise InvalidConfigError(f"{path}: {where}", hint="a graph has one queue; a run may name another")
            owners[graph] = name


def read_env(config: ConfigFile, folder: Path) -> dict[str, str]:
    """Return the variables that a configuration names.

    Raises:
        InvalidConfigError: The file isn't there, or has a line that isn't `NAME=value`.
    """
    if not isinstance(config.env, str):
        return dict(config.env)
    path = folder / config.env
    if not path.is_file():
        raise InvalidConfigError(f"env: there is no file {path}", hint=f"paths are relative to {folder}")
    found: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip().removeprefix("export ").strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise InvalidConfigError(f"{path}, line {number}: not NAME=value: {text!r}")
        found[name.strip()] = _unquoted(value.strip())
    return found


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value.partition(" #")[0].rstrip()
