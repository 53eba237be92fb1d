"""`perdure verify`: look at every byte of a database, and mend what can be mended."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Annotated

import typer

from perdure.cli import choosing, options, render
from perdure.cli.database import require_file
from perdure.cli.exits import CommandError, Exit
from perdure.ops import Finding, Verification, repair
from perdure.ops import verify as look

Repair = Annotated[bool, typer.Option("--repair", help="Remove what can't be read, and what nothing needs")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask")]

SHOWN = 100
"""Findings listed for a person."""


def verify(
    url: choosing.Url,
    thread: choosing.Threads = None,
    mend: Repair = False,
    yes: Yes = False,
    encrypted: choosing.Encrypted = False,
    as_json: options.AsJson = False,
) -> Exit:
    """Read every checkpoint, piece and write, and compare each with its checksum; name what is damaged.

    Exits with 1 if something can't be read, also if it was repaired.
    """
    require_file(url)
    with render.counting("looking", quiet=as_json) as tell:
        found = look(url, threads=thread, encrypted=encrypted, on_progress=tell)
    if not as_json:
        _print(found)
    planned = Counter(one.kind.remedy for one in found.findings if one.kind.remedy)
    if mend and planned:
        if not yes:
            _confirm(planned)
        repair(url, threads=thread, encrypted=encrypted)
    if as_json:
        findings = [one._asdict() | {"remedy": one.kind.remedy} for one in found.findings]
        render.print_json({"threads": found.threads, "findings": findings, "repaired": mend and bool(planned)})
    elif planned:
        _say_what(planned, done=mend)
    return Exit.FAILED if found.damage else Exit.OK


def _print(found: Verification) -> None:
    for one in found.findings[:SHOWN]:
        render.out.print(_line(one), style="red" if one.kind.is_damage else "yellow", markup=False)
    if len(found.findings) > SHOWN:
        render.note(f"and {len(found.findings) - SHOWN} more: --json lists all")
    render.out.print(f"{found.threads} threads, {len(found.damage)} damaged places, {len(found.findings)} findings")


def _line(one: Finding) -> str:
    where = [f"thread {one.thread_id!r}"]
    where += [f"namespace {one.checkpoint_ns!r}"] if one.checkpoint_ns else []
    where += [f"checkpoint {one.checkpoint_id}"] if one.checkpoint_id else []
    where += [f"channel {one.channel!r}"] if one.channel and not one.channel.startswith("(") else []
    return f"{', '.join(where)}: {one.kind}: {one.message}"


def _confirm(planned: Counter[str]) -> None:
    _say_what(planned, done=False)
    if not sys.stdin.isatty():
        raise CommandError(
            "a repair can't be undone, and nobody is there to ask", hint="add --yes; make a backup first"
        )
    typer.confirm("repair?", abort=True, err=True)


def _say_what(planned: Counter[str], *, done: bool) -> None:
    for remedy, count in planned.items():
        render.note(f"{'done' if done else '--repair would'}: {remedy}: {count} times")
