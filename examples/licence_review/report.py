"""Writes the findings down, as Markdown and as HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from licences import STRICTNESS, Finding

HEAD = ("package", "version", "licence", "rules", "decision")
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Licence review</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ccc }}
.reject {{ background: #fdd }} .accept {{ background: #ffd }}
</style>
<h1>Licence review</h1>
<p>{summary}</p>
<table>
<thead><tr>{head}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</html>
"""


def as_markdown(findings: Sequence[Finding], decisions: Mapping[str, str]) -> str:
    """Return the report as Markdown."""
    rows = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in _rows(findings, decisions)]
    head = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    return "\n".join(["# Licence review", "", _summary(findings), "", *head, *rows, ""])


def as_html(findings: Sequence[Finding], decisions: Mapping[str, str]) -> str:
    """Return the report as one HTML page that needs nothing else."""
    rows = [
        f'<tr class="{escape(row[-1])}">' + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row in _rows(findings, decisions)
    ]
    head = "".join(f"<th>{name}</th>" for name in HEAD)
    return PAGE.format(summary=escape(_summary(findings)), head=head, rows="\n".join(rows))


def _rows(findings: Sequence[Finding], decisions: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    for f in findings:
        yield f.name, f.version, f.expression or f.stated, f.rules, decisions.get(f.name, "")


def _summary(findings: Sequence[Finding]) -> str:
    counts = Counter(f.rules for f in findings)
    parts = ", ".join(f"{counts[rules]} {rules}" for rules in STRICTNESS if counts[rules])
    return f"{len(findings)} packages: {parts}."
