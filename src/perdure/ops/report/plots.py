"""Plots of bytes: by day, as they grew, and of the largest; as SVG and as PNG, by Matplotlib."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from perdure.errors import UsageError
from perdure.ops.measuring import Stats
from perdure.ops.probing import Probe
from perdure.ops.report.units import in_bytes
from perdure.ops.report.words import headline, in_milliseconds, latencies

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOUR: Final = "#3e7cb1"
_WIDE: Final = 8.5
_TALL: Final = 2.6
"""Inches."""
_LETTERS: Final = 34
"""Letters of a name that have room."""

Values = Sequence[tuple[str, float]]
_NOTHING: Final = {"Date": None, "Creator": None, "Format": None, "Type": None}


@contextmanager
def _styled() -> Iterator[None]:
    """Draw names as they are, as texts, and the same each time."""
    try:
        import matplotlib as mpl
    except ImportError as missing:
        raise UsageError(
            "reports need Matplotlib, not installed here", hint="pip install 'perdure[report]'"
        ) from missing
    style: dict[Any, Any] = {"text.parse_math": False, "svg.fonttype": "none", "svg.hashsalt": "perdure"}
    with mpl.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a box is drawn in its place
        yield


def plotted(found: Stats, top: int, words: Sequence[str] = ()) -> Figure:
    """Draw what is known, one plot below the other.

    Args:
        found: What `stats` has found.
        top: How many threads and channels are shown.
        words: Lines above the plots.
    """
    from matplotlib.figure import Figure

    days, growth = [*found.days().items()], [*found.growth().items()]
    threads = [(one.thread_id, one.stored or one.whole) for one in found.threads[:top]]
    channels = [(name, size.stored or size.whole) for name, size in found.channels().items()][:top]
    plots: list[tuple[str, Values, bool]] = [
        ("Bytes of the checkpoints of each day", days, True),
        ("Growth: bytes of all checkpoints until a day", growth, True),
        ("The largest threads", threads, False),
        ("The largest channels", channels, False),
    ]
    drawn = [plot for plot in plots if plot[1]]
    figure = Figure((_WIDE, _TALL * len(drawn) + 0.3 * len(words) + 0.6), layout="constrained")
    if words:
        figure.suptitle("\n".join(map(_printable, words)), x=0.02, ha="left", fontsize=10)
    for place, (title, values, by_day) in enumerate(drawn, 1):
        axes = figure.add_subplot(len(drawn), 1, place)
        axes.set_title(title, loc="left", fontsize=11)
        axes.spines[["top", "right"]].set_visible(False)
        (_by_day if by_day else _by_name)(axes, values)
    return figure


def _by_day(axes: Any, values: Values) -> None:
    days, sizes = [name for name, _ in values], [size for _, size in values]
    axes.bar(range(len(days)), sizes, color=COLOUR)
    shown = sorted({0, len(days) // 2, len(days) - 1})
    axes.set_xticks(shown, [days[at] for at in shown])
    axes.yaxis.set_major_formatter(lambda size, _: in_bytes(round(size)))


def _by_name(axes: Any, values: Values) -> None:
    bars = axes.barh(range(len(values)), [size for _, size in values], color=COLOUR)
    axes.set_yticks(range(len(values)), [_short(name) for name, _ in values])
    axes.bar_label(bars, [in_bytes(size) for _, size in values], padding=4, fontsize=9)
    axes.xaxis.set_visible(False)
    axes.invert_yaxis()
    axes.margins(x=0.15)


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _short(name: str) -> str:
    shown = _printable(name)
    return shown if len(shown) <= _LETTERS else f"{shown[: _LETTERS - 1]}\N{HORIZONTAL ELLIPSIS}"


def to_svg(found: Stats, top: int) -> str:
    """Return the plots as an SVG element; empty if there are none.

    Raises:
        UsageError: Matplotlib isn't installed.
    """
    with _styled():
        figure, made = plotted(found, top), io.StringIO()
        if not figure.axes:
            return ""
        figure.savefig(made, format="svg", metadata=_NOTHING)
    text = made.getvalue()
    return text[text.index("<svg") :]


def to_png(found: Stats, name: str, *, probe: Probe | None = None, top: int = 10) -> bytes:
    """Draw what `stats` has found as a picture, in the format PNG.

    Args:
        found: What was found.
        name: Of the database.
        probe: What `probe` has found.
        top: How many threads and channels are drawn.

    Raises:
        UsageError: Matplotlib isn't installed.
    """
    words = [name, headline(found), *(f"{kind}: {in_milliseconds(one)}" for kind, one in latencies(probe))]
    made = io.BytesIO()
    with _styled():
        plotted(found, top, words).savefig(made, format="png", dpi=200)
    return made.getvalue()
