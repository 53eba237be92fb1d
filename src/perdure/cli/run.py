"""`perdure run`: start a graph on a thread, or give a thread its next input."""

from __future__ import annotations

import uuid
from typing import Annotated

import typer

from perdure.cli import options
from perdure.cli.arguments import parse_json
from perdure.cli.database import open_for_running
from perdure.cli.exits import CommandError, Exit
from perdure.cli.loading import load_graph
from perdure.cli.running import Run, again

Input = Annotated[
    str | None,
    typer.Option("--input", metavar="JSON", help="The input: JSON, @file, or - for stdin", show_default=False),
]


def run(
    graph: options.Graph,
    input: Input = None,
    thread: options.Thread = None,
    db: options.Db = None,
    as_json: options.AsJson = False,
) -> Exit:
    """Run a graph; every step is stored, so a run that is killed goes on with `perdure resume`."""
    value = None if input is None else parse_json(input, "--input")
    with open_for_running(db) as saver:
        compiled = load_graph(graph, saver)
        if input is None and (thread is None or saver.get_head(thread) is None):
            raise CommandError("a new thread needs an input", hint='--input \'{"key": "value"}\'')
        thread_id = thread or str(uuid.uuid4())
        return Run(compiled, thread_id, again(graph, db), quiet=as_json).finish(value, as_json=as_json)
