"""The agent's tools: what the model may call, and what needs a person's consent."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.USub: operator.neg,
}


def calculate(expression: str) -> str:
    """Calculate an expression of numbers, + - * / % and parentheses."""
    return str(_value(ast.parse(expression, mode="eval").body))


def _value(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.BinOp(left, operation, right) if type(operation) in OPERATORS:
            return OPERATORS[type(operation)](_value(left), _value(right))
        case ast.UnaryOp(ast.USub(), operand):
            return -_value(operand)
    raise ValueError(f"not arithmetic: {ast.unparse(node)}")


def today() -> str:
    """Tell today's date."""
    return datetime.now().astimezone().date().isoformat()


def write_note(title: str, text: str) -> str:
    """Write a note into the folder `notes`."""
    name = "".join(letter if letter.isalnum() else "-" for letter in title)
    path = Path("notes") / f"{name}.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"# {title}\n\n{text}\n", encoding="utf-8")
    return f"wrote {path}"


TOOLS: dict[str, Callable[..., str]] = {tool.__name__: tool for tool in (calculate, today, write_note)}
NEEDS_CONSENT = frozenset({"write_note"})


def describe() -> list[dict[str, Any]]:
    """Return the tools in the format of the chat completions API."""
    return [{"type": "function", "function": _function(tool)} for tool in TOOLS.values()]


def _function(tool: Callable[..., str]) -> dict[str, Any]:
    names = [name for name in tool.__annotations__ if name != "return"]
    parameters = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": names,
    }
    return {"name": tool.__name__, "description": tool.__doc__, "parameters": parameters}
