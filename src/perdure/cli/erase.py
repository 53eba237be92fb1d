"""`perdure erase`: delete what a database has of a person, and prove it."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli import choosing, options, render
from perdure.cli.database import require_file
from perdure.cli.exits import Exit, NotFoundError
from perdure.ops import Erasure, Selection
from perdure.ops import erase as erase_for_ever

Threads = Annotated[list[str] | None, typer.Option("--thread", metavar="ID", help="This thread; may be repeated")]
Namespaces = Annotated[
    list[str] | None,
    typer.Option("--namespace", metavar="A/B", help="Items of the store in this namespace and below; may be repeated"),
]
Prove = Annotated[
    list[str] | None,
    typer.Option("--prove", metavar="TEXT", help="Look for this everywhere afterwards; may be repeated"),
]
Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="Wait so long for who is in the way")]


def erase(
    url: choosing.Url,
    thread: Threads = None,
    metadata: choosing.Metadata = None,
    namespace: Namespaces = None,
    prove: Prove = None,
    timeout: Timeout = 30.0,
    yes: choosing.Yes = False,
    encrypted: choosing.Encrypted = False,
    as_json: options.AsJson = False,
) -> Exit:
    """Delete threads and items for ever: rows, files, free space and logs; then look for what was there everywhere.

    Exits with 1 if something is left, or something can't be looked at. A thread on hold stops it before anything is
    changed.
    """
    require_file(url)
    choosing.confirm("erase for ever?", "erasing", yes=yes)
    asked = choosing.parse_metadata(metadata)
    selection = Selection(thread or None, metadata=asked) if thread or asked else None
    with render.counting("erasing", quiet=as_json) as tell:
        done = erase_for_ever(
            url,
            selection=selection,
            namespaces=[text.split("/") for text in namespace or ()],
            prove=prove or (),
            timeout=timeout,
            encrypted=encrypted,
            on_progress=tell,
        )
    if asked and not done.threads and not done.items:
        raise NotFoundError("no thread has a checkpoint with these metadata", hint="numbers and texts differ: \"'42'\"")
    if as_json:
        render.print_json(_jsonable(done))
    else:
        _print(done)
    return Exit.OK if done.is_proven else Exit.FAILED


def _jsonable(done: Erasure) -> dict[str, object]:
    search = done.search
    return {
        "threads": done.threads,
        "checkpoints": done.checkpoints,
        "items": done.items,
        "runs": done.runs,
        "fingerprints": done.fingerprints,
        "proven": done.is_proven,
        **done.scrub._asdict(),
        "files": search.files,
        "bytes": search.bytes,
        "unread": search.unread,
        "shared": search.shared,
        "found": [one._asdict() for one in search.found],
    }


def _print(done: Erasure) -> None:
    counts = f"{len(done.threads)} threads, {done.checkpoints} checkpoints, {done.items} items, {done.runs} runs"
    render.out.print(f"erased: {counts}")
    for line in done.scrub.done:
        render.out.print(f"done: {line}", markup=False)
    search = done.search
    looked = f"{len(search.files)} files, {search.bytes:,} bytes, for {done.fingerprints} fingerprints"
    render.out.print(f"searched: {looked}; found: {len(search.found)}")
    for trace in search.found:
        render.out.print(f"left: {trace.what} in {trace.place} at {trace.offset}", style="red", markup=False)
    for name, reason in search.unread.items():
        render.out.print(f"not looked at: {name}: {reason}", style="red", markup=False)
    for line in done.scrub.failed:
        render.out.print(f"not done: {line}", style="red", markup=False)
    for line in done.scrub.beyond:
        render.note(f"not reached from here: {line}")
