"""Pictures of a graph, as SVG and PNG, made here: layers from top to bottom, edges around the nodes.

The layout is grandalf's (Sugiyama, Tagawa and Toda, 1981: Methods for Visual Understanding of Hierarchical System
Structures); PNG is drawn by Pillow. Both come with `pip install 'perdure[draw]'`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from perdure.constants import END, NS_END, START
from perdure.errors import UsageError

if TYPE_CHECKING:
    from perdure.graph.drawing import DrawnEdge, DrawnNode, Graph

Point = tuple[float, float]

FONT = 14
SMALL = 12
HEIGHT = 34
MARGIN = 24
BESIDE = 24
"""How far from the boxes' middle two edges run that go there and back."""
LETTER = 0.62
"""Width of a letter, in font sizes: generous, so that no text leaves its box whatever the font is."""
INK, LINE, FILL, EDGE_FILL = "#1f2933", "#52606d", "#eef2f7", "#ffffff"


class Box(NamedTuple):
    """A node with its place.

    Attributes:
        center: Of the box.
        size: Width and height.
        text: What is written on it.
        is_end: Whether it is where the graph begins or ends.
    """

    center: Point
    size: Point
    text: str
    is_end: bool


class Line(NamedTuple):
    """An edge with its way.

    Attributes:
        points: From the source's box to the target's.
        is_dashed: Whether it is one of several ways to go on.
        text: What is written on it.
    """

    points: list[Point]
    is_dashed: bool
    text: str


class Picture(NamedTuple):
    """A graph with all its places, in pixels.

    Attributes:
        size: Width and height.
        boxes: The nodes.
        lines: The edges.
    """

    size: Point
    boxes: list[Box]
    lines: list[Line]


class _Place:
    """What grandalf wants to know of a vertex: how large it is; it says where it is."""

    def __init__(self, node: DrawnNode) -> None:
        self.text = node.id.replace(NS_END, " / ")
        self.w = max(70.0, len(self.text) * FONT * LETTER + 24)
        self.h = float(HEIGHT)
        self.xy: Point = (0.0, 0.0)


class _Way:
    """The way of an edge, as grandalf finds it."""

    def __init__(self) -> None:
        self.points: list[Point] = []

    def setpath(self, points: Sequence[Point]) -> None:
        self.points = [(float(x), float(y)) for x, y in points]


def lay_out(graph: Graph) -> Picture:
    """Find a place for every node and a way for every edge.

    Raises:
        UsageError: The packages that draw aren't installed.
    """
    try:
        from grandalf.graphs import Edge, Vertex
        from grandalf.graphs import Graph as Layers
    except ImportError as missing:
        raise UsageError(
            "drawing needs packages that aren't installed", hint="pip install 'perdure[draw]', or use draw_mermaid()"
        ) from missing
    vertices: dict[str, Any] = {id_: Vertex(id_) for id_ in graph.nodes}
    for id_, vertex in vertices.items():
        vertex.view = _Place(graph.nodes[id_])
    edges = _merged(graph.edges)
    ways: dict[tuple[str, str], Any] = {}
    for source, target in edges:
        if source != target:
            ways[source, target] = Edge(vertices[source], vertices[target])
            ways[source, target].view = _Way()
    right = 0.0
    for part in Layers(list(vertices.values()), list(ways.values())).C:
        right = _place(part, vertices, right)
    boxes = {id_: vertex.view for id_, vertex in vertices.items()}
    lines = [
        _line(boxes[s], boxes[t], edge, ways.get((s, t)), has_reverse=(t, s) in edges) for (s, t), edge in edges.items()
    ]
    return _framed([Box(b.xy, (b.w, b.h), b.text, _is_end(id_)) for id_, b in boxes.items()], lines)


def _is_end(id_: str) -> bool:
    return id_.rpartition(NS_END)[2] in (START, END)


def _merged(edges: Sequence[DrawnEdge]) -> dict[tuple[str, str], tuple[bool, str]]:
    """Return one edge for each pair of nodes: whether it is dashed, and the texts on it."""
    found: dict[tuple[str, str], tuple[bool, str]] = {}
    for edge in edges:
        dashed, text = found.get((edge.source, edge.target), (True, ""))
        texts = [one for one in (text, edge.data or "") if one]
        found[edge.source, edge.target] = (dashed and edge.conditional, ", ".join(texts))
    return found


def _place(part: Any, vertices: dict[str, Any], left: float) -> float:
    """Lay out a connected part to the right of what is there; return where it ends."""
    from grandalf.layouts import SugiyamaLayout
    from grandalf.routing import route_with_lines

    mine = [vertex for vertex in vertices.values() if vertex in part.sV]
    layout: Any = SugiyamaLayout(part)
    layout.xspace, layout.yspace = 30, 46
    layout.route_edge = route_with_lines
    roots = [vertex for vertex in mine if not vertex.e_in()] or mine[:1]
    layout.init_all(roots=roots)
    layout.draw(4)
    shift = left - min(v.view.xy[0] - v.view.w / 2 for v in mine) + (MARGIN if left else 0)
    for vertex in mine:
        vertex.view.xy = (vertex.view.xy[0] + shift, vertex.view.xy[1])
    for edge in part.sE:
        edge.view.points = [(x + shift, y) for x, y in edge.view.points]
    return float(max(v.view.xy[0] + v.view.w / 2 for v in mine))


def _line(source: _Place, target: _Place, edge: tuple[bool, str], way: Any, *, has_reverse: bool) -> Line:
    dashed, text = edge
    if way is None:  # to itself: around the box's right side
        x, y = source.xy[0] + source.w / 2, source.xy[1]
        return Line([(x, y - 8), (x + 26, y - 8), (x + 26, y + 8), (x, y + 8)], dashed, text)
    points = way.view.points or [source.xy, target.xy]
    if math.dist(points[0], source.xy) > math.dist(points[-1], source.xy):
        points = points[::-1]
    inner = points[1:-1]
    if not inner and has_reverse:  # beside the edge that comes back, not on it
        way_down = source.xy[1] < target.xy[1]
        shift, side = (BESIDE, 1) if way_down else (-BESIDE, -1)
        up_or_down = [(box.xy[0] + shift, box.xy[1] + s * side * box.h / 2) for box, s in ((source, 1), (target, -1))]
        return Line(up_or_down, dashed, text)
    begin = _border(source, inner[0] if inner else target.xy)
    end = _border(target, inner[-1] if inner else source.xy)
    return Line([begin, *inner, end], dashed, text)


def _border(box: _Place, towards: Point) -> Point:
    """Return where the way from a box's center leaves the box."""
    dx, dy = towards[0] - box.xy[0], towards[1] - box.xy[1]
    if not dx and not dy:
        return box.xy
    part = min(box.w / 2 / abs(dx) if dx else math.inf, box.h / 2 / abs(dy) if dy else math.inf)
    return (box.xy[0] + dx * part, box.xy[1] + dy * part)


def _framed(boxes: list[Box], lines: list[Line]) -> Picture:
    """Move everything so that it begins at the margin."""
    xs = [b.center[0] + sign * b.size[0] / 2 for b in boxes for sign in (-1, 1)]
    ys = [b.center[1] + sign * b.size[1] / 2 for b in boxes for sign in (-1, 1)]
    for line in lines:
        xs += [x for x, _ in line.points]
        ys += [y for _, y in line.points]
        (x, _), width = _middle(line), len(line.text) * SMALL * LETTER / 2 + 4
        xs += [x - width, x + width]
    dx, dy = MARGIN - min(xs), MARGIN - min(ys)
    return Picture(
        (max(xs) + dx + MARGIN, max(ys) + dy + MARGIN),
        [b._replace(center=(b.center[0] + dx, b.center[1] + dy)) for b in boxes],
        [line._replace(points=[(x + dx, y + dy) for x, y in line.points]) for line in lines],
    )


def _middle(line: Line) -> Point:
    at = (len(line.points) - 1) // 2
    (x1, y1), (x2, y2) = line.points[at : at + 2]
    return ((x1 + x2) / 2, (y1 + y2) / 2)


def _head(line: Line) -> list[Point]:
    """Return the arrow's head, a triangle at the line's end."""
    (x1, y1), (x2, y2) = line.points[-2:]
    angle = math.atan2(y2 - y1, x2 - x1)
    wings = [(x2 - 10 * math.cos(angle + turn), y2 - 10 * math.sin(angle + turn)) for turn in (-0.4, 0.4)]
    return [(x2, y2), *wings]


def to_svg(picture: Picture) -> str:
    """Return a picture as SVG."""
    width, height = picture.size
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"',
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="sans-serif" font-size="{FONT}" text-anchor="middle">',
        f'<rect width="100%" height="100%" fill="{EDGE_FILL}"/>',
    ]
    for line in picture.lines:
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in line.points)
        dash = ' stroke-dasharray="5 4"' if line.is_dashed else ""
        head = " ".join(f"{x:.1f},{y:.1f}" for x, y in _head(line))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{LINE}" stroke-width="1.4"{dash}/>')
        parts.append(f'<polygon points="{head}" fill="{LINE}"/>')
    for box in picture.boxes:
        (x, y), (w, h) = box.center, box.size
        fill, round_ = (EDGE_FILL, h / 2) if box.is_end else (FILL, 6)
        parts.append(
            f'<rect x="{x - w / 2:.1f}" y="{y - h / 2:.1f}" width="{w:.1f}" height="{h:.1f}" rx="{round_:.0f}" '
            f'fill="{fill}" stroke="{INK}"/>'
        )
        parts.append(f'<text x="{x:.1f}" y="{y + FONT / 3:.1f}" fill="{INK}">{escape(box.text)}</text>')
    for line in picture.lines:
        if line.text:
            x, y = _middle(line)
            w = len(line.text) * SMALL * LETTER + 6
            parts.append(f'<rect x="{x - w / 2:.1f}" y="{y - 9:.1f}" width="{w:.1f}" height="18" fill="{EDGE_FILL}"/>')
            parts.append(
                f'<text x="{x:.1f}" y="{y + 4:.1f}" font-size="{SMALL}" fill="{LINE}">{escape(line.text)}</text>'
            )
    return "\n".join([*parts, "</svg>"]) + "\n"


def to_png(picture: Picture, scale: int = 2) -> bytes:
    """Return a picture as PNG.

    Args:
        picture: The picture.
        scale: Pixels of the PNG for one of the picture.

    Raises:
        UsageError: Pillow isn't installed.
    """
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as missing:
        raise UsageError("a PNG needs Pillow", hint="pip install 'perdure[draw]', or use draw_svg()") from missing
    image = Image.new("RGB", (round(picture.size[0] * scale), round(picture.size[1] * scale)), EDGE_FILL)
    pen = ImageDraw.Draw(image)
    font, small = ImageFont.load_default(FONT * scale), ImageFont.load_default(SMALL * scale)

    def scaled(points: Sequence[Point]) -> list[Point]:
        return [(x * scale, y * scale) for x, y in points]

    for line in picture.lines:
        for begin, end in zip(line.points, line.points[1:], strict=False):
            for piece in _dashes(begin, end) if line.is_dashed else [(begin, end)]:
                pen.line(scaled(piece), fill=LINE, width=round(1.4 * scale))
        pen.polygon(scaled(_head(line)), fill=LINE)
    for box in picture.boxes:
        (x, y), (w, h) = box.center, box.size
        corners = scaled([(x - w / 2, y - h / 2), (x + w / 2, y + h / 2)])
        radius = (h / 2 if box.is_end else 6) * scale
        fill = EDGE_FILL if box.is_end else FILL
        pen.rounded_rectangle([*corners[0], *corners[1]], radius, fill=fill, outline=INK, width=scale)
        pen.text((x * scale, y * scale), box.text, fill=INK, font=font, anchor="mm")
    for line in picture.lines:
        if line.text:
            x, y = _middle(line)
            place = pen.textbbox((x * scale, y * scale), line.text, font=small, anchor="mm")
            pen.rectangle([place[0] - 4, place[1] - 3, place[2] + 4, place[3] + 3], fill=EDGE_FILL)
            pen.text((x * scale, y * scale), line.text, fill=LINE, font=small, anchor="mm")
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _dashes(begin: Point, end: Point, dash: float = 5, gap: float = 4) -> list[tuple[Point, Point]]:
    length = math.dist(begin, end) or 1
    ux, uy = (end[0] - begin[0]) / length, (end[1] - begin[1]) / length
    found = []
    at = 0.0
    while at < length:
        to = min(at + dash, length)
        found.append(((begin[0] + ux * at, begin[1] + uy * at), (begin[0] + ux * to, begin[1] + uy * to)))
        at += dash + gap
    return found
