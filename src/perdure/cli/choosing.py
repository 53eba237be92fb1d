"""Options that say which part of a database a command is about, and how its values are kept."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from perdure.cli.arguments import parse_json
from perdure.cli.exits import CommandError
from perdure.ops import Selection

URLS = "sqlite:///path, postgresql://..., redis://..., s3://..."

Url = Annotated[str, typer.Argument(metavar="URL", help=f"A database: {URLS}")]
Threads = Annotated[list[str] | None, typer.Option("--thread", metavar="ID", help="Only this thread; may be repeated")]
Since = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="TIME", help="Only what was made since: 2026-01-31, an ISO time, or 7d, 12h, 30m ago"
    ),
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Only what was made until then")]
Having = Annotated[
    list[str] | None,
    typer.Option("--filter", metavar="KEY=JSON", help="Only checkpoints with this in their metadata; may be repeated"),
]
Encrypted = Annotated[
    bool,
    typer.Option("--encrypted", help="It is encrypted, with the keys in PERDURE_ENCRYPTION_KEYS or PERDURE_AES_KEY"),
]

_AGO = re.compile(r"(\d+)([dhms])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def selection_of(
    threads: list[str] | None, since: str | None, until: str | None, having: list[str] | None
) -> Selection:
    """Return what the options mean.

    Raises:
        CommandError: One of them isn't understood.
    """
    metadata = dict(_pair(text) for text in having or ())
    return Selection(threads or None, parse_time(since, "--since"), parse_time(until, "--until"), metadata)


def parse_time(text: str | None, option: str) -> datetime | None:
    """Return the moment that was typed: a date or time in ISO 8601, or how long ago.

    Raises:
        CommandError: It is neither.
    """
    if text is None:
        return None
    if ago := _AGO.fullmatch(text):
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise CommandError(
            f"{option} takes a time, not {text!r}", hint="2026-01-31, 2026-01-31T18:00Z, or 7d"
        ) from None


def _pair(text: str) -> tuple[str, object]:
    key, equals, value = text.partition("=")
    if not equals:
        raise CommandError(f"--filter takes KEY=JSON, not {text!r}", hint="--filter user='\"ada\"'")
    return key, parse_json(value, f"--filter {key}")
