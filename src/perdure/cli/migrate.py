"""`perdure migrate`: copy a database to another, of any kind."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.markup import escape

from perdure.checkpoint.serde.registry import collect_types, default_registry
from perdure.cli import choosing, options, render
from perdure.cli.database import require_file
from perdure.cli.exits import Exit
from perdure.cli.loading import load_graph
from perdure.ops import Migration
from perdure.ops import migrate as copy_database

Source = Annotated[str, typer.Argument(metavar="SOURCE", help=f"Where it is: {choosing.URLS}")]
Target = Annotated[str, typer.Argument(metavar="TARGET", help="Where it is to go")]
Follow = Annotated[bool, typer.Option("--follow", help="Go on until the source has nothing new")]
Verify = Annotated[bool, typer.Option("--verify", help="Compare every checkpoint afterwards")]
NoStore = Annotated[bool, typer.Option("--no-store", help="Leave the items of the store out")]
FromSecret = Annotated[
    bool,
    typer.Option(
        "--encrypted-source",
        help="The source is encrypted, with the keys in PERDURE_ENCRYPTION_KEYS or PERDURE_AES_KEY",
    ),
]
ToSecret = Annotated[
    bool,
    typer.Option(
        "--encrypted-target", help="Encrypt the target, with the keys in PERDURE_ENCRYPTION_KEYS or PERDURE_AES_KEY"
    ),
]

Graph = Annotated[
    str | None,
    typer.Option(
        "--graph", metavar="GRAPH", help="The graph that made a LangGraph database, for its types and channels"
    ),
]

SHOWN = 20
"""Differences listed for a person."""


def migrate(
    source: Source,
    target: Target,
    thread: choosing.Threads = None,
    since: choosing.Since = None,
    until: choosing.Until = None,
    metadata: choosing.Metadata = None,
    follow: Follow = False,
    verify: Verify = False,
    no_store: NoStore = False,
    encrypted_source: FromSecret = False,
    encrypted_target: ToSecret = False,
    graph: Graph = None,
    as_json: options.AsJson = False,
) -> Exit:
    """Copy threads, checkpoints, writes and items from one database to another, of any kind.

    The source may be in use. Stopped at any moment, the same command goes on where it was.
    """
    require_file(source)
    selection = choosing.selection_of(thread, since, until, metadata)
    with render.counting("copying", quiet=as_json) as tell:
        done = copy_database(
            source,
            target,
            selection=selection,
            follow=follow,
            verify=verify,
            items=not no_store and selection.is_everything,
            encrypted_source=encrypted_source,
            encrypted_target=encrypted_target,
            channels=_channels_of(graph),
            on_progress=tell,
        )
    if as_json:
        render.print_json(asdict(done) | {"differences": [one._asdict() for one in done.differences]})
    else:
        _print(done, verified=verify)
    return Exit.FAILED if done.differences else Exit.OK


def _channels_of(address: str | None) -> Any:
    """Load a graph, of either package: its channels, and the types that its state is made of."""
    if address is None:
        return None
    graph = load_graph(address)
    for schema in getattr(getattr(graph, "builder", None), "schemas", ()):
        default_registry.register_types(collect_types(schema))
    return graph.channels


def _print(done: Migration, *, verified: bool) -> None:
    render.out.print(f"{render.counts(done.copied)} copied{render.present(done.copied)}")
    if done.items_left:
        render.note("the target has no place for the store's items: they were left out")
    if done.rules_left:
        render.note("the target has no place for holds and times to live: they were left out")
    if verified:
        render.out.print(f"{done.compared} checkpoints compared, {len(done.differences)} differences")
    for one in done.differences[:SHOWN]:
        render.print_error(f"{escape(one.thread_id)} {one.checkpoint_ns} {one.checkpoint_id}: {one.what}")
