"""From a run's row to the arguments of its graph: input or command, config, context, options."""

from __future__ import annotations

import importlib
from typing import Any

from perdure.interop.watching import Both, Watcher
from perdure.runtime import ServerInfo
from perdure.server.auth import User

_CHECKPOINT = ("checkpoint_ns", "checkpoint_id", "checkpoint_map")


def config_of(run: dict[str, Any], most_steps: int | None = None) -> dict[str, Any]:
    """Return the config of a run: the assistant's and its own, merged when it was made, and who and where it is."""
    kwargs = run["kwargs"]
    config = dict(kwargs.get("config") or {})
    configurable = {k: v for k, v in (config.get("configurable") or {}).items() if not k.startswith("__")}
    configurable["thread_id"] = run["thread_id"]
    checkpoint = kwargs.get("checkpoint") or {}
    configurable |= {name: checkpoint[name] for name in _CHECKPOINT if checkpoint.get(name)}
    if (caller := run["caller"]) is not None:
        configurable["langgraph_auth_user"] = caller
        configurable["langgraph_auth_user_id"] = caller.get("identity")
        configurable["langgraph_auth_permissions"] = caller.get("permissions", [])
    about = {"graph_id": run["graph_id"], "assistant_id": run["assistant_id"], "run_id": run["run_id"]}
    config["metadata"] = {**run["metadata"], **(config.get("metadata") or {}), **about}
    config["configurable"] = configurable
    config["run_id"] = run["run_id"]
    if most_steps is not None:
        config["recursion_limit"] = min(config.get("recursion_limit", most_steps), most_steps)
    return config


def input_of(run: dict[str, Any], graph: Any) -> Any:
    """Return a run's input, or its command as the graph's package has it."""
    command = run["kwargs"].get("command")
    if command is None:
        return run["kwargs"].get("input")
    types = types_of(graph)
    given = {name: command[name] for name in ("update", "resume", "graph") if command.get(name) is not None}
    goto = command.get("goto")
    if goto is not None:
        several = goto if isinstance(goto, list) else [goto]
        given["goto"] = [types.Send(one["node"], one.get("input")) if isinstance(one, dict) else one for one in several]
    if "resume" in command and command["resume"] is None:
        given["resume"] = None
    return types.Command(**given)


def types_of(graph: Any) -> Any:
    """Return the module of `Command` and `Send` that a graph understands."""
    package = "langgraph" if is_langgraph(graph) else "perdure"
    return importlib.import_module(f"{package}.types")


def is_langgraph(value: Any) -> bool:
    """Tell whether something is of LangGraph."""
    return any(cls.__module__.partition(".")[0] == "langgraph" for cls in type(value).__mro__)


def all_keys_of(graph: Any) -> Any:
    """Return the names of a state's parts, as streams of values show it."""
    return graph.stream_channels_asis if is_langgraph(graph) else graph.plan.stream_channels


def told_who(graph: Any, run: dict[str, Any], watchers: tuple[Watcher, Watcher | None]) -> Any:
    """Return a graph whose nodes can ask who has started the run, and as which assistant; and that is watched.

    Args:
        graph: The graph.
        run: The run.
        watchers: Who measures each graph; and who tells of those that nobody tells of yet.
    """
    if is_langgraph(graph):
        return graph  # its nodes find it in the config
    user = None if run["caller"] is None else User(run["caller"])
    figures, telling = watchers
    first = graph.observer or telling
    observer = figures if first is None else Both(first, figures)
    about = ServerInfo(run["assistant_id"], run["graph_id"], user)
    return graph.copy({"server_info": about, "observer": observer})


def options_of(run: dict[str, Any], graph: Any) -> dict[str, Any]:
    """Return the keywords of the graph's `astream`."""
    kwargs = run["kwargs"]
    options: dict[str, Any] = {}
    for name in ("context", "durability", "interrupt_before", "interrupt_after"):
        if kwargs.get(name):
            options[name] = kwargs[name]
    return options
