"""The statements in the words of each database: the macros of statements.sql, filled in once.

A filter is JSON: an object `b` is contained in `a` if each of its members is in `a`, with the same value, or, if that
is an object itself, contained in it; an array, if each of its elements is one of the other's. That is Postgres' `@>`.
SQLite compares leaf by leaf, of which an empty object or array is one; there, objects inside of arrays are compared in
their order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from perdure.database.sqltext import load_statements
from perdure.server.database.orders import COLUMNS, ORDERS, order_by

_FILE: Final = Path(__file__).with_name("statements.sql")
_NOTES: Final = re.compile(r"^ *--.*\n", re.MULTILINE)

_LEAVES = """(CAST({b} AS text) IS NULL OR NOT EXISTS (
    SELECT 1 FROM json_tree({b}) AS f
    WHERE f.parent IS NOT NULL AND (f.type NOT IN ('object', 'array') OR length(f.value) = 2) AND NOT EXISTS (
        SELECT 1 FROM json_tree({a}) AS m WHERE m.path = f.path AND m.type = f.type AND m.atom IS f.atom
            AND typeof(m.key) = typeof(f.key) AND (typeof(f.key) = 'integer' OR m.key = f.key))))"""

_SQLITE: Final = {
    "contains": _LEAVES,
    "visible": f"""(CAST({{b}} AS text) IS NULL OR EXISTS (
    SELECT 1 FROM json_each({{b}}) AS v WHERE {_LEAVES.format(a="{a}", b="v.value")}))""",  # noqa: S608 - of constants
    "among": "{a} IN (SELECT value FROM json_each({b}))",
    "position": "instr({a}, {b})",
    "words": """(CAST({b} AS text) IS NULL OR NOT EXISTS (
    SELECT 1 FROM json_each({b}) AS w WHERE instr({a}, w.value) = 0))""",
}
_POSTGRES: Final = {
    "contains": "(CAST({b} AS text) IS NULL OR {a}::jsonb @> CAST(CAST({b} AS text) AS jsonb))",
    "visible": """(CAST({b} AS text) IS NULL OR EXISTS (
    SELECT 1 FROM jsonb_array_elements(CAST(CAST({b} AS text) AS jsonb)) AS v WHERE {a}::jsonb @> v.value))""",
    "among": "{a} IN (SELECT jsonb_array_elements_text(CAST(CAST({b} AS text) AS jsonb)))",
    "position": "strpos({a}, {b})",
    "words": """(CAST({b} AS text) IS NULL OR NOT EXISTS (
    SELECT 1 FROM jsonb_array_elements_text(CAST(CAST({b} AS text) AS jsonb)) AS w(word)
    WHERE strpos({a}, w.word) = 0))""",
}


_SQLITE_SIZE: Final = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
_POSTGRES_SIZE: Final = r"""
SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class
WHERE relkind = 'r' AND relname LIKE 'perdure\_%' AND relnamespace = current_schema()::regnamespace"""


@cache
def sqlite_statements() -> Mapping[str, str]:
    """Return the statements for SQLite."""
    texts = _filled(_SQLITE, lock="", skip="")
    made = {name: re.sub(r"\$(\d+)", r"?\1", text).replace("@schema.", "") for name, text in texts.items()}
    return {**made, "stored_bytes": _SQLITE_SIZE}


@cache
def postgres_statements() -> Mapping[str, str]:
    """Return the statements for Postgres, wherever the connection's search_path leads."""
    texts = _filled(_POSTGRES, lock="FOR UPDATE", skip="FOR UPDATE SKIP LOCKED")
    made = {name: text.replace("@schema.", "") for name, text in texts.items()}
    return {**made, "stored_bytes": _POSTGRES_SIZE}


def _filled(macros: Mapping[str, str], *, lock: str, skip: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, text in load_statements(_FILE).items():
        made = _NOTES.sub("", text)
        for macro, columns in COLUMNS.items():
            made = made.replace(f"{macro} ", f"{', '.join(columns)} ")
        for macro, form in macros.items():
            made = _expand(made, macro, form)
        made = made.replace("@lock", lock).replace("@skip", skip).strip()
        if name in ORDERS:
            for key in ORDERS[name]:
                for direction in ("asc", "desc"):
                    found[f"{name} {key} {direction}"] = made.replace("@order", order_by(name, key, direction))
        else:
            found[name] = made
    return found


def _expand(text: str, macro: str, form: str) -> str:
    """Replace each `@macro(a, b)`; a may have parentheses of its own."""
    start = text.find(f"@{macro}(")
    while start >= 0:
        at, depth, comma = start + len(macro) + 2, 1, 0
        while depth:
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            if text[at] == "," and depth == 1:
                comma = at
            at += 1
        a, b = text[start + len(macro) + 2 : comma].strip(), text[comma + 1 : at - 1].strip()
        text = text[:start] + form.format(a=a, b=b) + text[at:]
        start = text.find(f"@{macro}(")
    return text
