"""A report as one page of HTML that needs nothing else: no network, no script, no file beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

from perdure.ops.measuring import Stats
from perdure.ops.probing import Probe
from perdure.ops.report.plots import to_svg
from perdure.ops.report.units import in_bytes
from perdure.ops.report.words import headline, in_milliseconds, latencies

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; margin: 2rem auto; max-width: 48rem; padding: 0 1rem }
svg { max-width: 100%; height: auto; font-family: inherit } section { margin: 2rem 0 }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .2rem .8rem .2rem 0 }
td + td, th + th { text-align: right } tr + tr { border-top: 1px solid #e4e7eb } .faint { color: #616e7c }
td:first-child { overflow-wrap: anywhere }
"""
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


def to_html(found: Stats, name: str, *, probe: Probe | None = None, top: int = 10) -> str:
    """Describe what `stats` has found on one page; what people have named is escaped.

    Args:
        found: What was found.
        name: Of the database.
        probe: What `probe` has found.
        top: How many threads and channels are shown.

    Raises:
        UsageError: Matplotlib isn't installed.
    """
    threads = [(one.thread_id, str(one.checkpoints), in_bytes(one.stored or one.whole)) for one in found.threads[:top]]
    channels = [
        (channel, in_bytes(size.stored or size.whole), in_bytes(size.latest))
        for channel, size in [*found.channels().items()][:top]
    ]
    took = "".join(f"<li>{escape(kind)}: {escape(in_milliseconds(one))}</li>" for kind, one in latencies(probe))
    measured = f"<section><h2>From here, one at a time</h2><ul>{took}</ul></section>" if took else ""
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(name)}: what it takes</title><style>{_STYLE}</style></head><body>"
        f'<h1>{escape(name)}</h1><p>{escape(headline(found))}</p><p class="faint">Measured at {made}. Bytes are those '
        "that perdure stores, without pages and indexes of the database; what was deleted isn't among them.</p>"
        f"{measured}<section>{to_svg(found, top)}</section>"
        f"{_table('Threads', ('thread', 'checkpoints', 'stored'), threads)}"
        f"{_table('Channels', ('channel', 'stored', 'largest now'), channels)}</body></html>\n"
    )


def _table(title: str, names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<section><h2>{title}</h2><table><tr>{head}</tr>{body}</table></section>" if body else ""
