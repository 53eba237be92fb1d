"""`perdure fork`: make a new head from an old checkpoint, in its thread or in a new one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from perdure.checkpoint.base import CheckpointTuple, new_id
from perdure.cli import options, render
from perdure.cli.arguments import parse_json
from perdure.cli.database import (
    Saver,
    config_of,
    id_of,
    open_for_reading,
    open_for_running,
    resolve,
    thread_of,
)
from perdure.cli.exits import CommandError
from perdure.cli.loading import load_graph
from perdure.cli.reading import summary

To = Annotated[
    str | None,
    typer.Option("--to", metavar="ID", help="Thread of the fork  \\[default: the same]", show_default=False),
]
GraphOption = Annotated[
    str | None,
    typer.Option("--graph", metavar="GRAPH", help="The graph, needed with --update", show_default=False),
]
Update = Annotated[
    str | None,
    typer.Option("--update", metavar="JSON", help="Values to change in the fork", show_default=False),
]
AsNode = Annotated[
    str | None,
    typer.Option("--as-node", metavar="NODE", help="Node that the update is from", show_default=False),
]


def fork(
    checkpoint: options.Ref,
    to: To = None,
    graph: GraphOption = None,
    update: Update = None,
    as_node: AsNode = None,
    db: options.Db = None,
    as_json: options.AsJson = False,
) -> None:
    """Make a new head from an old checkpoint; nothing stored is changed."""
    values = None if update is None else parse_json(update, "--update")
    if update is not None and graph is None:
        raise CommandError("--update needs the graph, whose reducers apply it", hint="--graph path/file.py:name")
    with open_for_reading(db) as saver:
        made = copy_to_head(saver, resolve(saver, checkpoint), to)
    if graph is not None and update is not None:
        with open_for_running(db) as saver:
            config = load_graph(graph, saver).update_state(made.config, values, as_node)
            made = resolve(saver, config["configurable"]["thread_id"])
    _report(made, as_json=as_json)


def copy_to_head(saver: Saver, found: CheckpointTuple, to: str | None) -> CheckpointTuple:
    """Store a copy of `found` as the newest checkpoint of its thread, or as the first of thread `to`.

    Raises:
        CommandError: The thread `to` has checkpoints already.
    """
    ns = found.config["configurable"].get("checkpoint_ns", "")
    thread = to or thread_of(found)
    if to is not None and saver.get_head(to, ns) is not None:
        raise CommandError(f"thread {to!r} exists already", hint="choose another id, or delete it first")
    parent = None if to is not None else id_of(found)
    step = int(found.metadata.get("step", -1)) + 1
    newest = saver.get_head(thread, ns)  # the fork becomes the head, so its id has to be the greatest
    fork_of: Any = {**found.checkpoint, "id": new_id(newest), "ts": datetime.now(UTC).isoformat()}
    metadata: Any = {**found.metadata, "source": "fork", "step": step}
    config = saver.put(config_of(thread, ns, parent), fork_of, metadata, fork_of["channel_versions"])
    return resolve(saver, config["configurable"]["checkpoint_id"])


def _report(made: CheckpointTuple, *, as_json: bool) -> None:
    if as_json:
        render.print_json(summary(made))
    else:
        render.out.print(f"{thread_of(made)}@{id_of(made)}", markup=False)
