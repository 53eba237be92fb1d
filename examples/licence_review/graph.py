"""The licence review as a graph: one task a package, one question for what needs a person."""

from __future__ import annotations

import operator
import os
from pathlib import Path
from typing import Annotated, Any, TypedDict

from licences import Finding, examine, packages
from report import as_html, as_markdown

from perdure.graph import END, START, StateGraph
from perdure.types import Send, interrupt


class Review(TypedDict, total=False):
    """The state of a review."""

    path: list[str] | None
    """Folders to look for packages in; None for those of this Python."""
    out: str
    """Folder that the reports are written to: `reports`, if it isn't said."""
    packages: dict[str, str]
    findings: Annotated[list[Finding], operator.add]
    decisions: Annotated[dict[str, str], operator.or_]
    reports: list[str]


class Package(TypedDict):
    """What one task gets."""

    name: str
    version: str
    path: list[str] | None


def discover(state: Review) -> dict[str, Any]:
    """List the installed packages."""
    return {"packages": packages(state.get("path"))}


def fan_out(state: Review) -> list[Send]:
    """Start a task for each package."""
    path = state.get("path")
    return [Send("classify", Package(name=n, version=v, path=path)) for n, v in state["packages"].items()]


def classify(package: Package) -> dict[str, Any]:
    """Read one package's licence; its own task, so it is stored as soon as it is done."""
    _log(package["name"])
    return {"findings": [examine(package["name"], package["version"], package["path"])]}


def undecided(state: Review) -> list[Finding]:
    """Return the findings that need a person and have no decision yet."""
    decided = state.get("decisions", {})
    findings = sorted(state["findings"], key=lambda finding: finding.name.lower())
    return [f for f in findings if f.rules in ("unclear", "strong copyleft") and f.name not in decided]


def decide(state: Review) -> dict[str, Any]:
    """Ask a person; an answer `{"*": "accept"}` is for all that aren't named."""
    questions = undecided(state)
    if not questions:
        return {}
    answers = interrupt(
        {
            "question": "Which of these packages do you accept?",
            "answer": {"NAME": "accept | reject"},
            "packages": {f.name: f"{f.rules}: {f.stated}" for f in questions},
        }
    )
    chosen = {f.name: answers.get(f.name, answers.get("*")) for f in questions}
    return {"decisions": {name: choice for name, choice in chosen.items() if choice in ("accept", "reject")}}


def still_open(state: Review) -> str:
    """Ask again for what the answer left out."""
    return "decide" if undecided(state) else "write"


def write(state: Review) -> dict[str, Any]:
    """Write the reports; the same state gives the same files, so a second time does no harm."""
    out = Path(state.get("out") or "reports")
    out.mkdir(parents=True, exist_ok=True)
    findings = sorted(state["findings"], key=lambda finding: finding.name.lower())
    texts = {"licences.md": as_markdown, "licences.html": as_html}
    for name, render in texts.items():
        (out / name).write_text(render(findings, state.get("decisions", {})), encoding="utf-8")
    return {"reports": [str(out / name) for name in texts]}


def _log(name: str) -> None:
    # One line an execution, so that a test can count them.
    if log := os.environ.get("LICENCE_REVIEW_LOG"):
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {name}\n")


graph = (
    StateGraph(Review)
    .add_node(discover)
    .add_node(classify)
    .add_node(decide)
    .add_node(write)
    .add_edge(START, "discover")
    .add_conditional_edges("discover", fan_out, ["classify"])
    .add_edge("classify", "decide")
    .add_conditional_edges("decide", still_open, ["decide", "write"])
    .add_edge("write", END)
)
