"""Runs a graph on a database and reports every superstep; `run` and `resume` share it."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import Sequence
from typing import Any

from rich.markup import escape

from perdure.cli import render
from perdure.cli.exits import Exit


class Run:
    """One run of a graph on a thread, from the command line.

    Args:
        graph: Compiled, with a saver.
        thread_id: The thread.
        again: How the user wrote the command's graph and database, for the hint on how to resume.
        quiet: Print nothing but the result.
    """

    def __init__(self, graph: Any, thread_id: str, again: Sequence[str], *, quiet: bool) -> None:
        self.graph = graph
        self.thread_id = thread_id
        self.quiet = quiet
        self.config = {"configurable": {"thread_id": thread_id}}
        self.resume_command = shlex.join(["perdure", "resume", *again, "--thread", thread_id])

    def finish(self, value: Any, *, as_json: bool) -> Exit:
        """Run with `value` to the end or to an interrupt, print the result, return the exit code."""
        try:
            result = asyncio.run(self._run(value))
        except KeyboardInterrupt:
            render.note(f"\nstopped; what has finished is stored. Go on with: {self.resume_command}")
            return Exit.STOPPED
        except Exception:
            render.note(f"what has finished is stored. Go on with: {self.resume_command}")
            raise
        self._print(result, as_json=as_json)
        return render.exit_for(result)

    async def _run(self, value: Any) -> dict[str, Any]:
        with render.working(f"running {self.thread_id}", quiet=self.quiet):
            # Closed here and now, so that the thread's turn is given back before the loop ends.
            stream = self.graph.astream(value, self.config, stream_mode="updates")
            async with contextlib.aclosing(stream):
                async for update in stream:
                    self._report(update)
        return await self._result()

    def _report(self, update: dict[str, Any]) -> None:
        if self.quiet:
            return
        for node, written in update.items():
            if node.startswith("__"):
                continue
            channels = ", ".join(written) if isinstance(written, dict) else ""
            render.err.print(f"[green]✓[/] {escape(node)} [dim]{escape(channels)}[/]")

    async def _result(self) -> dict[str, Any]:
        state = await self.graph.aget_state(self.config)
        return {
            "thread_id": self.thread_id,
            "checkpoint_id": state.config["configurable"].get("checkpoint_id"),
            "values": state.values,
            "next": list(state.next),
            "interrupts": [{"id": item.id, "value": item.value} for item in state.interrupts],
        }

    def _print(self, result: dict[str, Any], *, as_json: bool) -> None:
        if as_json:
            render.print_json(result)
            return
        render.print_json(result["values"])
        render.print_questions(result["interrupts"])
        if result["interrupts"]:
            render.note(f"the graph asks. Answer with: {self.resume_command} {_answer_form(result['interrupts'])}")
        elif result["next"]:
            render.note(f"stopped before {', '.join(result['next'])}. Go on with: {self.resume_command}")


def _answer_form(interrupts: Sequence[dict[str, Any]]) -> str:
    if len(interrupts) == 1:
        return "--answer JSON"
    return " ".join(f"--answer-for {item['id']}=JSON" for item in interrupts)


def again(graph: str, db: str | None) -> list[str]:
    """Return the arguments that name the same graph and database again."""
    return [graph, *(["--db", db] if db else [])]
