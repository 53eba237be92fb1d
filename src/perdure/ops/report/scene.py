"""A drawing: rectangles, lines and texts with their places, as SVG and as pixels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape
from typing import Any, Final, NamedTuple

from perdure.errors import UsageError

INK: Final = "#1f2933"
FAINT: Final = "#7b8794"
BAR: Final = "#3e7cb1"
RULE: Final = "#cbd2d9"
_SHARPNESS: Final = 2
"""Pixels of a picture for each unit of a drawing."""


class Rectangle(NamedTuple):
    """A filled rectangle; `title` is what it means."""

    x: float
    y: float
    width: float
    height: float
    title: str = ""


class Path(NamedTuple):
    """A line through points."""

    points: Sequence[tuple[float, float]]
    colour: str = RULE
    width: float = 1.0


class Words(NamedTuple):
    """A text; `anchor` says whether its `start`, `middle` or `end` is at the place, and y is its middle."""

    x: float
    y: float
    text: str
    anchor: str = "start"
    size: float = 12.0
    colour: str = INK


Shape = Rectangle | Path | Words


class Scene(NamedTuple):
    """A drawing with its size."""

    width: float
    height: float
    shapes: Sequence[Shape]


def to_svg(scene: Scene, title: str) -> str:
    """Return a drawing as an SVG element; texts are escaped."""
    size = f'viewBox="0 0 {scene.width:g} {scene.height:g}" width="{scene.width:g}" height="{scene.height:g}"'
    shapes = "".join(_element(shape) for shape in scene.shapes)
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(title)}" {size}>{shapes}</svg>'


def _element(shape: Shape) -> str:
    if isinstance(shape, Rectangle):
        place = f'x="{shape.x:g}" y="{shape.y:g}" width="{shape.width:g}" height="{shape.height:g}"'
        return f'<rect {place} fill="{BAR}"><title>{escape(shape.title)}</title></rect>'
    if isinstance(shape, Path):
        points = " ".join(f"{x:g},{y:g}" for x, y in shape.points)
        return f'<polyline points="{points}" fill="none" stroke="{shape.colour}" stroke-width="{shape.width:g}"/>'
    how = f'text-anchor="{shape.anchor}" font-size="{shape.size:g}" fill="{shape.colour}"'
    return f'<text x="{shape.x:g}" y="{shape.y:g}" dominant-baseline="central" {how}>{escape(shape.text)}</text>'


def stacked(scenes: Sequence[Scene]) -> Scene:
    """Return drawings one below the other."""
    shapes: list[Shape] = []
    below = 0.0
    for scene in scenes:
        shapes += [_moved(shape, below) for shape in scene.shapes]
        below += scene.height
    return Scene(max(scene.width for scene in scenes), below, shapes)


def framed(scene: Scene, margin: float) -> Scene:
    """Return a drawing with a margin around it."""
    shapes = [_moved(shape, margin, margin) for shape in scene.shapes]
    return Scene(scene.width + 2 * margin, scene.height + 2 * margin, shapes)


def _moved(shape: Shape, down: float, right: float = 0.0) -> Shape:
    if isinstance(shape, Path):
        return shape._replace(points=[(x + right, y + down) for x, y in shape.points])
    return shape._replace(x=shape.x + right, y=shape.y + down)


def to_png(scene: Scene) -> bytes:
    """Return a drawing as a PNG.

    Raises:
        UsageError: Pillow isn't installed.
    """
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as missing:
        raise UsageError("a picture needs Pillow, not installed here", hint="pip install 'perdure[draw]'") from missing
    image = Image.new("RGB", (round(scene.width * _SHARPNESS), round(scene.height * _SHARPNESS)), "white")
    pen: Any = ImageDraw.Draw(image)
    anchors = {"start": "lm", "middle": "mm", "end": "rm"}
    for shape in scene.shapes:
        if isinstance(shape, Rectangle):
            right, low = shape.x + shape.width, shape.y + shape.height
            pen.rectangle([n * _SHARPNESS for n in (shape.x, shape.y, right, low)], fill=BAR)
        elif isinstance(shape, Path):
            points = [(x * _SHARPNESS, y * _SHARPNESS) for x, y in shape.points]
            pen.line(points, fill=shape.colour, width=round(shape.width * _SHARPNESS))
        else:
            font = ImageFont.load_default(shape.size * _SHARPNESS)
            place = (shape.x * _SHARPNESS, shape.y * _SHARPNESS)
            pen.text(place, shape.text, fill=shape.colour, font=font, anchor=anchors[shape.anchor])
    found = io.BytesIO()
    image.save(found, "PNG")
    return found.getvalue()
