"""Charts of bytes: by day, as they grew, and of the largest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from perdure.ops.report.scene import BAR, FAINT, INK, Path, Rectangle, Scene, Shape, Words
from perdure.ops.report.units import in_bytes

WIDTH: Final = 760.0
_LEFT, _RIGHT, _TOP = 80.0, 20.0, 40.0
_TALL: Final = 180.0
_ROW: Final = 22.0
_NAMES: Final = 240.0
_LETTERS: Final = 34
"""Letters of a name that have room."""

Values = Sequence[tuple[str, float]]


def _frame(title: str, values: Values) -> tuple[list[Shape], float]:
    """Return a title and a scale of 0, half and most; and what is most."""
    most = max((value for _, value in values), default=0.0) or 1.0
    shapes: list[Shape] = [Words(0, 14, title, size=15)]
    for part in (0.0, 0.5, 1.0):
        y = _TOP + _TALL * (1 - part)
        shapes.append(Path([(_LEFT, y), (WIDTH - _RIGHT, y)]))
        shapes.append(Words(_LEFT - 8, y, in_bytes(round(most * part)), "end", 11, FAINT))
    return shapes, most


def _ends(values: Values) -> list[Shape]:
    y = _TOP + _TALL + 14
    return [
        Words(_LEFT, y, values[0][0], "start", 11, FAINT),
        *([Words(WIDTH - _RIGHT, y, values[-1][0], "end", 11, FAINT)] if len(values) > 1 else []),
    ]


def columns(title: str, values: Values) -> Scene:
    """Draw a column for each value, in their order; the first and the last are named."""
    shapes, most = _frame(title, values)
    room = (WIDTH - _LEFT - _RIGHT) / len(values)
    for place, (name, value) in enumerate(values):
        tall = _TALL * value / most
        x, y = _LEFT + room * (place + 0.1), _TOP + _TALL - tall
        shapes.append(Rectangle(x, y, min(room * 0.8, 60.0), tall, f"{name}: {in_bytes(value)}"))
    return Scene(WIDTH, _TOP + _TALL + 40, [*shapes, *_ends(values)])


def line(title: str, values: Values) -> Scene:
    """Draw a line through values, in their order; the first and the last are named."""
    shapes, most = _frame(title, values)
    room = (WIDTH - _LEFT - _RIGHT) / max(1, len(values) - 1)
    points = [(_LEFT + room * place, _TOP + _TALL * (1 - value / most)) for place, (_, value) in enumerate(values)]
    if len(points) == 1:
        points.append((WIDTH - _RIGHT, points[0][1]))
    return Scene(WIDTH, _TOP + _TALL + 40, [*shapes, Path(points, BAR, 2), *_ends(values)])


def bars(title: str, values: Values) -> Scene:
    """Draw a bar for each value, one below the other, with its name and size."""
    most = max((value for _, value in values), default=0.0) or 1.0
    room = WIDTH - _NAMES - 100
    shapes: list[Shape] = [Words(0, 14, title, size=15)]
    for place, (name, value) in enumerate(values):
        y, wide = _TOP + _ROW * place, room * value / most
        shapes.append(Words(_NAMES - 8, y + 8, _short(name), "end", 12, INK))
        shapes.append(Rectangle(_NAMES, y, max(wide, 1.0), 16, f"{name}: {in_bytes(value)}"))
        shapes.append(Words(_NAMES + wide + 8, y + 8, in_bytes(value), "start", 11, FAINT))
    return Scene(WIDTH, _TOP + _ROW * len(values) + 24, shapes)


def _short(name: str) -> str:
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
    return shown if len(shown) <= _LETTERS else f"{shown[: _LETTERS - 1]}\N{HORIZONTAL ELLIPSIS}"
