"""`perdure resume`: go on with a thread that was killed, failed, or waits for an answer."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from perdure.checkpoint.serde.types import INTERRUPT
from perdure.cli import options, render
from perdure.cli.arguments import parse_answers, parse_json
from perdure.cli.database import open_for_running, require_thread
from perdure.cli.exits import CommandError, Exit
from perdure.cli.loading import load_graph
from perdure.cli.running import Run, again
from perdure.types import Command

ThreadOption = Annotated[str | None, typer.Option("--thread", metavar="ID", help="The thread", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="All threads whose runs died or were stopped, instead of one")]
Failed = Annotated[bool, typer.Option("--failed", help="With --all: also those whose runs ended by an error")]
Answer = Annotated[
    str | None,
    typer.Option("--answer", metavar="JSON", help="Answer to the open interrupt", show_default=False),
]
AnswerFor = Annotated[
    list[str] | None,
    typer.Option("--answer-for", metavar="ID=JSON", help="Answer to one of several; repeatable", show_default=False),
]


def resume(
    graph: options.Graph,
    thread: ThreadOption = None,
    answer: Answer = None,
    answer_for: AnswerFor = None,
    everything: All = False,
    failed: Failed = False,
    db: options.Db = None,
    as_json: options.AsJson = False,
) -> Exit:
    """Go on with a thread, or with all that were left: finished tasks are kept, unfinished ones run."""
    if answer is not None and answer_for:
        raise CommandError("--answer and --answer-for don't go together")
    if everything:
        if thread is not None or answer is not None or answer_for:
            raise CommandError("--all goes on with every thread that was left; --thread and answers are for one")
        return _resume_all(graph, db, failed=failed, as_json=as_json)
    if thread is None or failed:
        raise CommandError(
            "--failed goes with --all" if failed else "which thread?",
            hint="--thread ID, or --all for those whose runs died; `perdure threads` lists them",
        )
    with open_for_running(db) as saver:
        require_thread(saver, thread)
        compiled = load_graph(graph, saver)
        value = _value(compiled, thread, answer, answer_for or [])
        return Run(compiled, thread, again(graph, db), quiet=as_json).finish(value, as_json=as_json)


def _resume_all(graph: str, db: str | None, *, failed: bool, as_json: bool) -> Exit:
    with open_for_running(db) as saver:
        compiled = load_graph(graph, saver)
        with render.working("looking for what was left", quiet=as_json):
            taken = asyncio.run(compiled.aresume_all(failed=failed))
    rows = [_told(*found) for found in taken]
    if as_json:
        render.print_json(rows)
    else:
        for row in rows:
            render.out.print(f"{row['thread_id']}: {row['error'] or row['status']}", markup=False)
        render.note(f"{len(rows)} threads were taken up")
    return Exit.FAILED if any(row["error"] for row in rows) else Exit.OK


def _told(thread_id: str, output: Any, error: Exception | None) -> dict[str, Any]:
    asks = isinstance(output, dict) and INTERRUPT in output
    status = "failed" if error is not None else "waits for an answer" if asks else "done"
    return {"thread_id": thread_id, "status": status, "error": None if error is None else repr(error)}


def _value(graph: Any, thread: str, answer: str | None, answer_for: list[str]) -> Command[Any] | None:
    if answer is None and not answer_for:
        return None
    state = graph.get_state({"configurable": {"thread_id": thread}})
    open_ids = [item.id for item in state.interrupts]
    if not open_ids:
        raise CommandError(f"thread {thread!r} doesn't wait for an answer", hint="without --answer it just goes on")
    if answer is None:
        return Command(resume=_known(parse_answers(answer_for), open_ids))
    if len(open_ids) > 1:
        raise CommandError(
            f"thread {thread!r} waits for {len(open_ids)} answers: {', '.join(open_ids)}",
            hint="give each with --answer-for ID=JSON",
        )
    return Command(resume={open_ids[0]: parse_json(answer, "--answer")})


def _known(answers: dict[str, Any], open_ids: list[str]) -> dict[str, Any]:
    unknown = [interrupt_id for interrupt_id in answers if interrupt_id not in open_ids]
    if unknown:
        raise CommandError(
            f"nothing with the id {', '.join(unknown)} waits for an answer",
            hint=f"open: {', '.join(open_ids)}",
        )
    return answers
