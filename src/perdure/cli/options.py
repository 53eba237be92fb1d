"""Arguments and options that several commands share."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

DEFAULT_DB = "perdure.db"


class Drawing(enum.StrEnum):
    """How `perdure graph` draws."""

    ASCII = "ascii"
    MERMAID = "mermaid"


Graph = Annotated[
    str,
    typer.Argument(metavar="GRAPH", help="path/to/file.py:name or package.module:name", show_default=False),
]
Ref = Annotated[
    str,
    typer.Argument(
        metavar="CHECKPOINT",
        help="A checkpoint id, THREAD (its latest), THREAD@ID, or THREAD@~2 (two before the latest)",
        show_default=False,
    ),
]
ThreadArg = Annotated[str, typer.Argument(metavar="THREAD", help="A thread's id", show_default=False)]
Db = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="URL",
        envvar="PERDURE_DB",
        help=f"Where checkpoints are: sqlite:///path, or a path that ends in .db  \\[default: {DEFAULT_DB}]",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs")]
Namespace = Annotated[str, typer.Option("--ns", metavar="NS", help="Namespace of a subgraph")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="At most so many")]
Thread = Annotated[str | None, typer.Option("--thread", metavar="ID", help="The thread", show_default=False)]
