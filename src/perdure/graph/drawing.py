"""Drawings of a graph: nodes and edges as data, as Mermaid, as a tree of text, and as pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from perdure.constants import END, NS_END, START

if TYPE_CHECKING:
    from perdure.graph.state import CompiledStateGraph


class DrawnNode(NamedTuple):
    """A node of a drawing.

    Attributes:
        id: Unique in the drawing; nodes inside of a subgraph are `outer:inner`.
        name: What is written on it.
        metadata: As given to `add_node`.
    """

    id: str
    name: str
    metadata: dict[str, Any] | None = None


class DrawnEdge(NamedTuple):
    """An edge of a drawing.

    Attributes:
        source: Id of the node that it starts from.
        target: Id of the node that it ends at.
        data: What is written on it, if its name differs from its target's.
        conditional: Whether it is one of several ways to go on.
    """

    source: str
    target: str
    data: str | None = None
    conditional: bool = False


class Graph:
    """The nodes and edges of a graph, in the order in which they were added."""

    def __init__(self) -> None:
        self.nodes: dict[str, DrawnNode] = {}
        self.edges: list[DrawnEdge] = []

    def to_json(self) -> dict[str, list[dict[str, Any]]]:
        """Return nodes and edges as plain data."""
        nodes = [{k: v for k, v in node._asdict().items() if v is not None} for node in self.nodes.values()]
        edges = [{k: v for k, v in edge._asdict().items() if v is not None and v is not False} for edge in self.edges]
        return {"nodes": nodes, "edges": edges}

    def draw_mermaid(self) -> str:
        """Return the drawing in Mermaid's language."""
        ids = {id_: _mermaid_id(id_, at) for at, id_ in enumerate(self.nodes)}
        lines = ["graph TD;"]
        lines += list(self._mermaid_nodes(ids))
        for edge in self.edges:
            label = f"|{_mermaid_text(edge.data)}|" if edge.data else ""
            arrow = "-.->" if edge.conditional else "-->"
            lines.append(f"\t{ids[edge.source]} {arrow}{label} {ids[edge.target]};")
        lines += [
            "\tclassDef first fill-opacity:0",
            "\tclassDef last fill:#cde5d8",
        ]
        return "\n".join(lines) + "\n"

    def _mermaid_nodes(self, ids: dict[str, str]) -> Iterator[str]:
        groups: dict[str, list[DrawnNode]] = {}
        for node in self.nodes.values():
            groups.setdefault(node.id.rpartition(NS_END)[0], []).append(node)
        for group, nodes in groups.items():
            if group:
                yield f'\tsubgraph {_mermaid_id(group, len(ids))}["{_mermaid_text(group)}"]'
            for node in nodes:
                shape = {START: '(["{}"]):::first', END: '(["{}"]):::last'}.get(node.id, '("{}")')
                yield f"\t{ids[node.id]}{shape.format(_mermaid_text(node.name))}"
            if group:
                yield "\tend"

    def draw_svg(self) -> str:
        """Return the drawing as an SVG picture.

        Raises:
            UsageError: The packages that draw aren't installed (`perdure[draw]`).
        """
        from perdure.graph import picture

        return picture.to_svg(picture.lay_out(self))

    def draw_png(self, output_file_path: str | None = None) -> bytes:
        """Return the drawing as a PNG picture, made here without a network.

        Args:
            output_file_path: Where to write it too, if anywhere.

        Raises:
            UsageError: The packages that draw aren't installed (`perdure[draw]`).
        """
        from perdure.graph import picture

        png = picture.to_png(picture.lay_out(self))
        if output_file_path is not None:
            Path(output_file_path).write_bytes(png)
        return png

    def draw_mermaid_png(self, output_file_path: str | None = None, **_options: Any) -> bytes:
        """Do what `draw_png` does: the name under which other packages ask a service for a picture.

        Args:
            output_file_path: Where to write it too, if anywhere.
            _options: Accepted for compatibility; without effect.
        """
        return self.draw_png(output_file_path)

    def draw_ascii(self) -> str:
        """Return the drawing as a tree of text; a node's second appearance is marked `(above)`."""
        after: dict[str, list[DrawnEdge]] = {}
        for edge in self.edges:
            after.setdefault(edge.source, []).append(edge)
        drawn: set[str] = set()
        lines: list[str] = []

        def walk(id_: str, first: str, rest: str) -> None:
            again = id_ in drawn and bool(after.get(id_))
            lines.append(f"{first}{id_}{' (above)' if again else ''}")
            if id_ in drawn:
                return
            drawn.add(id_)
            edges = after.get(id_, [])
            for at, edge in enumerate(edges):
                is_last = at == len(edges) - 1
                arm = "`" if is_last else "+"
                dash = ".." if edge.conditional else "--"
                label = f"[{edge.data}] " if edge.data else ""
                walk(edge.target, f"{rest}{arm}{dash}> {label}", rest + ("     " if is_last else "|    "))

        walk(START, "", "")
        for id_ in self.nodes:
            if id_ not in drawn:
                walk(id_, "", "")
        return "\n".join(lines) + "\n"

    def print_ascii(self) -> None:
        """Print the drawing as a tree of text."""
        print(self.draw_ascii())  # noqa: T201 - what the caller asked for


def _mermaid_id(id_: str, at: int) -> str:
    return (
        id_
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", id_) and id_ != "end"
        else f"n{at}_{re.sub(r'[^A-Za-z0-9_]', '_', id_)}"
    )


def _mermaid_text(text: str | None) -> str:
    escaped = (text or "").replace("&", "&amp;").replace('"', "#quot;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("\n", " ").replace("|", "&#124;")


def draw(graph: CompiledStateGraph[Any, Any, Any, Any], *, xray: int | bool = False) -> Graph:
    """Return the drawing of a compiled graph.

    Args:
        graph: The graph.
        xray: Show the inside of subgraphs: True for all levels, or how many.
    """
    drawing = Graph()
    _add(drawing, graph, "", xray)
    return drawing


def _add(drawing: Graph, graph: CompiledStateGraph[Any, Any, Any, Any], prefix: str, xray: int | bool) -> None:
    builder = graph.builder
    names = [START, *builder.nodes, END]
    entry = {name: prefix + name for name in names}
    leave = dict(entry)
    for name in names:
        inner = graph.plan.nodes[name].subgraph if name in builder.nodes else None
        if inner is not None and xray and hasattr(inner, "builder"):
            inside = f"{prefix}{name}{NS_END}"
            _add(drawing, inner, inside, xray if xray is True else xray - 1)
            entry[name], leave[name] = f"{inside}{START}", f"{inside}{END}"
            continue
        spec = builder.nodes.get(name)
        drawing.nodes[prefix + name] = DrawnNode(prefix + name, name, spec.metadata if spec else None)
    for source, target, label, conditional in _edges(graph):
        drawing.edges.append(DrawnEdge(leave[source], entry[target], label, conditional))
    if not any(edge.target == entry[END] for edge in drawing.edges) and not prefix:
        del drawing.nodes[END]


def _edges(graph: CompiledStateGraph[Any, Any, Any, Any]) -> Iterator[tuple[str, str, str | None, bool]]:
    builder = graph.builder
    fixed = [*builder.edge_order, *((s, end) for starts, end in sorted(builder.waiting_edges) for s in starts)]
    leaving = {source for source, _ in fixed}
    for name in [START, *builder.nodes]:
        for source, target in fixed:
            if source == name:
                yield source, target, None, False
        for branch in builder.branches.get(name, {}).values():
            leaving.add(name)
            ends = branch.ends if branch.ends is not None else {n: n for n in [*builder.nodes, END] if n != name}
            for answer, target in ends.items():
                yield name, target, str(answer) if str(answer) != target else None, True
        spec = builder.nodes.get(name)
        if spec is not None and spec.ends:
            leaving.add(name)
            for target, label in spec.ends.items():
                yield name, target, label if label != target else None, True
        if spec is not None and name not in leaving:
            yield name, END, None, False
