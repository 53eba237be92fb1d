"""`perdure resume`: go on with a thread that was killed, failed, or waits for an answer."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from perdure.cli import options
from perdure.cli.arguments import parse_answers, parse_json
from perdure.cli.database import open_for_running, require_thread
from perdure.cli.exits import CommandError, Exit
from perdure.cli.loading import load_graph
from perdure.cli.running import Run, again
from perdure.types import Command

ThreadOption = Annotated[str, typer.Option("--thread", metavar="ID", help="The thread", show_default=False)]
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
    thread: ThreadOption,
    answer: Answer = None,
    answer_for: AnswerFor = None,
    db: options.Db = None,
    as_json: options.AsJson = False,
) -> Exit:
    """Go on with a thread: finished tasks are kept, unfinished ones run."""
    if answer is not None and answer_for:
        raise CommandError("--answer and --answer-for don't go together")
    with open_for_running(db) as saver:
        require_thread(saver, thread)
        compiled = load_graph(graph, saver)
        value = _value(compiled, thread, answer, answer_for or [])
        return Run(compiled, thread, again(graph, db), quiet=as_json).finish(value, as_json=as_json)


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
