"""Prints for people (tables, colours, progress) and for programs (JSON)."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from perdure.cli.exits import Exit
from perdure.cli.jsonable import dump
from perdure.ops.progress import OnProgress, Tally, silent

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

COLOURS = {"done": "green", "waiting": "yellow", "failed": "red", "unfinished": "cyan"}


def print_json(value: Any) -> None:
    """Print `value` as JSON, without colours and line breaks of the console's own."""
    out.print(dump(value), markup=False, emoji=False)


def print_error(message: str, hint: str | None = None) -> None:
    """Print an error, and what can be done about it, to stderr."""
    err.print(f"[bold red]error:[/] {escape(message)}")
    if hint:
        err.print(f"  [dim]hint:[/] {escape(hint)}")


def note(message: str) -> None:
    """Print a remark to stderr, so that stdout stays the answer."""
    err.print(escape(message), style="dim")


def coloured(status: str) -> str:
    """Return a thread's status in its colour."""
    return f"[{COLOURS[status]}]{status}[/]"


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table; cells may have markup. Ids are there to be copied, so no cell is cut or wrapped."""
    lines = [[Text(name, style="bold") for name in columns]]
    lines += [[Text.from_markup(str(cell)) for cell in row] for row in rows]
    widths = [max(cell.cell_len for cell in column) for column in zip(*lines, strict=True)]
    for line in lines:
        for cell, width in zip(line, widths, strict=True):
            cell.pad_right(width - cell.cell_len)
        out.print(Text("  ").join(line))


def names(nodes: Sequence[str]) -> str:
    """Return names in a line, each once, with how often it comes."""
    return escape(", ".join(name if n == 1 else f"{name} x{n}" for name, n in Counter(nodes).items()))


def moment(timestamp: str) -> str:
    """Return an ISO timestamp to the second."""
    return timestamp[:19].replace("T", " ")


def print_detail(found: dict[str, Any]) -> None:
    """Print one checkpoint."""
    out.print(f"[bold]{escape(found['thread_id'])}[/] [dim]{escape(found['checkpoint_id'])}[/]")
    next_nodes = f", next: {names(found['next'])}" if found["next"] else ""
    where = f"step {found['step']} ({found['source']}), {moment(found['created_at'])}"
    out.print(f"{where}, {coloured(found['status'])}{next_nodes}")
    out.print(dump(found["values"]), markup=False, emoji=False)
    for error in found["errors"]:
        print_error(error)
    print_questions(found["interrupts"])


def print_questions(questions: Sequence[dict[str, Any]]) -> None:
    """Print the open interrupts with the ids that an answer needs."""
    for question in questions:
        out.print(f"[yellow]?[/] [bold]{escape(question['id'])}[/]")
        out.print(dump(question["value"]), markup=False, emoji=False)


def print_changes(before: str, after: str) -> None:
    """Print the lines in which two texts differ."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2)
    for line in list(lines)[2:]:
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
        out.print(line, style=style, markup=False, emoji=False)


@contextmanager
def working(message: str, *, quiet: bool) -> Iterator[None]:
    """Show that work goes on, if somebody is there to see it."""
    if quiet or not err.is_terminal:
        yield
        return
    with err.status(message):
        yield


@contextmanager
def counting(message: str, *, quiet: bool) -> Iterator[OnProgress]:
    """Show how far an operation is, if somebody is there to see it; yields what is to be told so, as it goes."""
    if quiet or not err.is_terminal:
        yield silent
        return
    with err.status(message) as status:
        yield lambda tally: status.update(f"{message}: {tally.threads} threads, {tally.checkpoints} checkpoints")


def counts(tally: Tally) -> str:
    """Return how much an operation has done."""
    return f"{tally.threads} threads, {tally.checkpoints} checkpoints, {tally.items} items"


def present(tally: Tally) -> str:
    """Return what it didn't have to do."""
    return f"; {tally.present} checkpoints were there already" if tally.present else ""


def exit_for(result: dict[str, Any]) -> Exit:
    """Return the exit code of a run that ended with `result`."""
    return Exit.WAITING if result["interrupts"] else Exit.OK
