"""`perdure graph`: draw a graph."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli import options, render
from perdure.cli.loading import load_graph

Format = Annotated[options.Drawing, typer.Option("--format", help="How to draw it")]
Xray = Annotated[bool, typer.Option("--xray", help="Draw subgraphs too")]


def graph(
    graph: options.Graph,
    format: Format = options.Drawing.ASCII,
    xray: Xray = False,
    as_json: options.AsJson = False,
) -> None:
    """Draw a graph, as text or for Mermaid."""
    drawable = load_graph(graph).get_graph(xray=xray)
    if as_json:
        render.print_json(drawable.to_json())
        return
    drawn = drawable.draw_mermaid() if format is options.Drawing.MERMAID else drawable.draw_ascii()
    render.out.print(drawn, markup=False, emoji=False)
