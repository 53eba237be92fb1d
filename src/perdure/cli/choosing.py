"""Options that say which part of a database a command is about, and how its values are kept."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from perdure.cli.exits import CommandError
from perdure.ops import Selection

URLS = "sqlite:///path, postgresql://..., redis://..., s3://..., azure://..."

Url = Annotated[str, typer.Argument(metavar="URL", help=f"A database: {URLS}")]
Threads = Annotated[list[str] | None, typer.Option("--thread", metavar="ID", help="Only this thread; may be repeated")]
Since = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="TIME", help="Only what was made since: 2026-01-31, an ISO time, or 7d, 12h, 30m ago"
    ),
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Only what was made until then")]
Encrypted = Annotated[
    bool,
    typer.Option("--encrypted", help="It is encrypted, with the keys in PERDURE_ENCRYPTION_KEYS or PERDURE_AES_KEY"),
]

Metadata = Annotated[
    list[str] | None,
    typer.Option(
        "--metadata", metavar="KEY=VALUE", help="Only with this in the metadata: JSON, or text; may be repeated"
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would go, and change nothing")]

_AGO = re.compile(r"(\d+)([dhms])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def selection_of(
    threads: list[str] | None, since: str | None, until: str | None, metadata: list[str] | None
) -> Selection:
    """Return what the options mean.

    Raises:
        CommandError: One of them isn't understood.
    """
    times = (parse_time(since, "--since"), parse_time(until, "--until"))
    return Selection(threads or None, *times, parse_metadata(metadata))


def parse_span(text: str | None, option: str) -> timedelta | None:
    """Return the length of time that was typed: 7d, 12h, 30m, 10s.

    Raises:
        CommandError: It is none.
    """
    if text is None:
        return None
    found = _AGO.fullmatch(text)
    if found is None:
        raise CommandError(f"{option} takes a length of time, not {text!r}", hint="7d, 12h, 30m, 10s")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


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


def parse_metadata(given: list[str] | None) -> dict[str, Any]:
    """Return the keys and values that were typed; what is no JSON is a text.

    Raises:
        CommandError: One of them has no `=`.
    """
    found: dict[str, Any] = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        if not equals:
            raise CommandError(f"--metadata takes KEY=VALUE, not {text!r}", hint="--metadata user_id=42")
        try:
            found[key] = json.loads(value)
        except json.JSONDecodeError:
            found[key] = value
    return found


def confirm(question: str, what: str, *, yes: bool) -> None:
    """Ask before something that can't be undone.

    Raises:
        CommandError: Nobody is there to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"{what} can't be undone, and nobody is there to ask", hint="add --yes; --dry-run tells")
    typer.confirm(question, abort=True, err=True)
