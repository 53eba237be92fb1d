"""`perdure ps`: what of a deployment runs."""

from __future__ import annotations

import time
from typing import Any

from perdure.cli import render
from perdure.cli.deployed import StateFolder, found, supervisor_of
from perdure.cli.exits import Exit
from perdure.cli.options import AsJson
from perdure.cli.serve import Config


def ps(config: Config = None, state: StateFolder = None, as_json: AsJson = False) -> Exit:
    """Show what of a deployment on this machine runs; exit code 1 if not all of it is ready."""
    folder, wanted = found(state, config)
    if wanted.engine != "processes":
        from perdure.up.compose import Compose

        Compose(folder, wanted.engine)("ps", "--all", *(["--format", "json"] if as_json else []))
        return Exit.OK
    kept = folder.read_state()
    supervisor = supervisor_of(folder)
    rows = [_row(name, child) for name, child in sorted(kept.children.items())]
    is_well = supervisor is not None and all(row["status"] == "ready" for row in rows) and not kept.problem
    if as_json:
        told = {"url": wanted.url, "version": kept.running.version if kept.running else None, "well": is_well}
        pid = supervisor.pid if supervisor else None
        render.print_json({**told, "problem": kept.problem or None, "supervisor": pid, "children": rows})
        return Exit.OK if is_well else Exit.FAILED
    cells = [[row["name"], row["status"], row["pid"] or "", row["seconds"], row["restarts"]] for row in rows]
    cells.append(
        ["supervisor", "ready" if supervisor else "[red]dead[/]", supervisor.pid if supervisor else "", "", ""]
    )
    render.print_table(["name", "status", "pid", "seconds", "restarts"], cells)
    render.note(f"{wanted.url} · version {kept.running.version if kept.running else '-'} · {folder.path}")
    if kept.problem:
        render.print_error(kept.problem)
    if supervisor is None:
        render.print_error("nothing is started again", hint="`perdure up` takes up what runs")
    return Exit.OK if is_well else Exit.FAILED


def _row(name: str, child: Any) -> dict[str, Any]:
    from perdure.up.process import Process

    runs = Process(child.pid, child.started).runs
    status = ("ready" if child.ready else "starting") if runs else f"ended ({child.told})" if child.told else "waiting"
    return {
        "name": name,
        "status": status,
        "pid": child.pid if runs else None,
        "version": child.version,
        "seconds": round(time.time() - child.since) if runs else "",
        "restarts": child.restarts,
    }
