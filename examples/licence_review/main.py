"""Runs the licence review on SQLite: goes on where it was killed, and asks at the interrupt.

python main.py                          start a review, or go on with the one that isn't finished
python main.py --answer foo=accept      answer for a package; `*=accept` for all that are open
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from graph import graph

from perdure.checkpoint.sqlite import SqliteSaver
from perdure.types import Command

WORKERS = 4  # packages read at a time
CHOICES = {"a": "accept", "accept": "accept", "r": "reject", "reject": "reject"}


def main() -> None:
    """Run, ask, resume, until the reports are written."""
    options = _options()
    options.db.parent.mkdir(parents=True, exist_ok=True)
    with SqliteSaver.from_conn_string(str(options.db)) as saver:
        review = graph.compile(checkpointer=saver)
        thread = options.thread or _thread(review, saver)
        config = {"configurable": {"thread_id": thread}, "max_concurrency": WORKERS}
        _go_on(review, config, options)


def _go_on(review: Any, config: Any, options: argparse.Namespace) -> None:
    state = review.get_state(config)
    is_new = not state.values and not state.next
    command: Any = {"path": options.path, "out": str(options.out)} if is_new else None
    answers = options.answer
    while is_new or state.next:
        if state.interrupts:
            if not answers and not sys.stdin.isatty():
                _say_how(state.interrupts[0].value, config, options)
                return
            command = Command(resume=answers or _ask(state.interrupts[0].value))
            answers = {}
        _run(review, command, config)
        is_new, command, state = False, None, review.get_state(config)
    print(f"{len(state.values['findings'])} packages reviewed. Reports: {', '.join(state.values['reports'])}")


def _run(review: Any, command: Any, config: Any) -> None:
    done = 0
    for update in review.stream(command, config, stream_mode="updates", durability="sync"):
        done += "classify" in update
        if sys.stderr.isatty() and "classify" in update:
            print(f"\r{done} packages", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty() and done:
        print(file=sys.stderr)


def _thread(review: Any, saver: Any) -> str:
    for thread in saver.threads():
        if review.get_state({"configurable": {"thread_id": thread}}).next:
            print(f"going on with {thread}")
            return str(thread)
    return time.strftime("review-%Y%m%d-%H%M%S")


def _ask(question: dict[str, Any]) -> dict[str, str]:
    answers: dict[str, str] = {}
    print(question["question"])
    for name, why in question["packages"].items():
        while name not in answers:
            with contextlib.suppress(KeyError):
                answers[name] = CHOICES[input(f"  {name} ({why}) [a]ccept / [r]eject: ").strip().lower()]
    return answers


def _say_how(question: dict[str, Any], config: Any, options: argparse.Namespace) -> None:
    print(question["question"])
    for name, why in question["packages"].items():
        print(f"  {name}: {why}")
    again = [
        sys.executable,
        *sys.argv[:1],
        "--db",
        str(options.db),
        "--thread",
        config["configurable"]["thread_id"],
    ]
    print("The review waits and nobody is at a terminal. Resume it with:")
    print(f"  {shlex.join([*again, '--answer', '*=accept'])}")
    print("or with --answer NAME=accept and --answer NAME=reject for each.")


def _answer(text: str) -> tuple[str, str]:
    name, _, choice = text.rpartition("=")
    if not name or choice not in CHOICES:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=accept or NAME=reject")
    return name, CHOICES[choice]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Review the licences of the installed Python packages.")
    parser.add_argument("--db", type=Path, default=Path("out/licences.db"), help="SQLite file (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the reports (default: %(default)s)")
    parser.add_argument("--thread", help="the review to go on with (default: the unfinished one, or a new one)")
    parser.add_argument("--path", action="append", metavar="DIR", help="look for packages here, not in this Python")
    parser.add_argument("--answer", action="append", type=_answer, default=[], metavar="NAME=accept|reject")
    options = parser.parse_args()
    options.answer = dict(options.answer)
    return options


if __name__ == "__main__":
    main()
