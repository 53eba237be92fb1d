"""`perdure doctor`: look whether a database is fit for its work."""

from __future__ import annotations

from rich.markup import escape

from perdure.checkpoint.diagnosis import Verdict
from perdure.cli import choosing, options, render
from perdure.cli.database import require_file
from perdure.cli.exits import Exit
from perdure.ops import doctor as examine

COLOURS = {Verdict.OK: "green", Verdict.NOTE: "yellow", Verdict.BAD: "red"}


def doctor(url: choosing.Url, as_json: options.AsJson = False) -> Exit:
    """Look at a database's versions, settings, rights and clock; exits with 1 if something is bad."""
    require_file(url)
    found = examine(url)
    if as_json:
        render.print_json([one._asdict() for one in found])
    else:
        rows = [
            (f"[{COLOURS[one.verdict]}]{one.verdict}[/]", escape(one.name), escape(one.found), escape(one.advice))
            for one in found
        ]
        render.print_table(("", "what", "found", "advice"), rows)
    return Exit.FAILED if any(one.verdict is Verdict.BAD for one in found) else Exit.OK
