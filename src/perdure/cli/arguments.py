"""Values that people type: JSON, `@file`, `-`, `ID=JSON`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from perdure.cli.exits import CommandError


def parse_json(text: str, option: str) -> Any:
    """Return the JSON value that was typed for `option`; `@file` and `-` (stdin) are read.

    Raises:
        CommandError: It isn't JSON; the message shows where.
    """
    source = option
    if text == "-":
        text, source = sys.stdin.read(), f"{option} (stdin)"
    elif text.startswith("@"):
        text, source = _read(Path(text[1:]), option), f"{option} ({text[1:]})"
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise CommandError(_explain(error, source), hint=_json_hint(text)) from None


def parse_answers(pairs: list[str]) -> dict[str, Any]:
    """Return the answers by interrupt id of `--answer-for ID=JSON`, given any number of times."""
    answers = {}
    for pair in pairs:
        interrupt_id, equals, text = pair.partition("=")
        if not equals:
            raise CommandError(
                f"--answer-for takes ID=JSON, not {pair!r}", hint="`perdure state THREAD` shows the open ids"
            )
        answers[interrupt_id] = parse_json(text, f"--answer-for {interrupt_id}")
    return answers


def _read(path: Path, option: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{option}: can't read {path}: {error.strerror}") from None


def _explain(error: json.JSONDecodeError, source: str) -> str:
    lines = error.doc.splitlines() or [""]
    line = lines[min(error.lineno, len(lines)) - 1]
    start = max(0, error.colno - 40)
    excerpt = line[start : start + 76]
    return (
        f"{source} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}\n"
        f"    {excerpt}\n"
        f"    {' ' * (error.colno - 1 - start)}^"
    )


def _json_hint(text: str) -> str | None:
    if text and text.replace("_", "").replace("-", "").replace(" ", "").isalnum():
        return f"a text is quoted twice in a shell: '\"{text}\"'"
    if "'" in text and '"' not in text:
        return "JSON strings take double quotes; wrap the whole in single ones: '{\"key\": 1}'"
    return None
