"""Runs every workload in fresh processes, the two packages in turn, and prints the gates.

python -m benchmarks                        the whole table
python -m benchmarks --only counter --pairs 3
python -m benchmarks --json results.json
python -m benchmarks --pair langgraph langgraph    how far two equal sides are apart
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.rows import ROWS, Row
from benchmarks.workloads import WORKLOADS

SCALES = {"ms": (1e3, "ms"), "MB": (1 / 2**20, "MB"), "B": (1, "B"), "x": (1, "x"), "": (1, "")}

Measured = dict[str, list[dict[str, float]]]


def main() -> int:
    given = _arguments()
    if given.child:
        print(json.dumps(WORKLOADS[given.child[0]](given.child[1])))
        return 0
    rows = [row for row in ROWS if not given.only or any(word.lower() in row.name.lower() for word in given.only)]
    workloads = list(dict.fromkeys(row.workload for row in rows))
    measured = {name: _measure(name, given.pair, given.pairs) for name in workloads}
    results = [_result(row, measured[row.workload]) for row in rows]
    about = _about(given.pair, given.pairs)
    _print_table(about, given.pair, results)
    if given.json:
        Path(given.json).write_text(json.dumps({"about": about, "rows": results, "measured": measured}, indent=1))
    return 1 if any(result["passes"] is False for result in results) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=7, help="how often the two sides run in turn (7)")
    parser.add_argument("--only", action="append", metavar="WORD", help="rows whose name has this word; repeatable")
    parser.add_argument("--json", metavar="FILE", help="write every figure to a file")
    parser.add_argument("--pair", nargs=2, default=["langgraph", "perdure"], metavar="PACKAGE", help="the two sides")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure(workload: str, pair: list[str], pairs: int) -> list[Measured]:
    """Run A B A B ..., after one run of each that doesn't count: it fills the caches of files and bytecode."""
    sides: list[Any] = [[], []]
    for n in range(pairs + 1):
        for side, package in enumerate(pair):
            _say(f"{workload}: {package}, {n} of {pairs}")
            if n == 0 and not workload.startswith("import"):
                continue
            figures = _child(workload, package)
            if n:
                sides[side].append(figures)
    _say("")
    return sides


def _say(progress: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{progress}", end="", file=sys.stderr, flush=True)


def _child(workload: str, package: str) -> dict[str, float]:
    if workload == "import":
        command = [sys.executable, str(Path(__file__).with_name("importing.py")), package]
    else:
        command = [sys.executable, "-m", "benchmarks", "--child", workload, package]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "LANGSMITH_TRACING": "false"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # as installed packages are: compiled once
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{workload} on {package} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _result(row: Row, sides: list[Any]) -> dict[str, Any]:
    first, second = ([figures.get(row.figure, math.nan) for figures in side] for side in sides)
    ratio = statistics.median(a / b if b else math.nan for a, b in zip(first, second, strict=True))
    own = [row.own(figures) for figures in sides[1]] if row.own else second
    judged = ratio if row.judge == "faster" else statistics.median(own)
    return {
        "name": row.name,
        "unit": row.unit,
        "first": statistics.median(first),
        "second": statistics.median(second),
        "cpu": [statistics.median(figures.get("cpu", math.nan) for figures in side) for side in sides],
        "is_time": row.figure == "wall",
        "ratio": ratio,
        "judge": row.judge,
        "judged": judged,
        "is_share": row.own is not None,
        "must": row.must,
        "aim": row.aim,
        "passes": _passes(row.judge, judged, row.must),
        "reaches_aim": _passes(row.judge, judged, row.aim),
    }


def _passes(judge: str, value: float, bound: float | None) -> bool | None:
    if bound is None:
        return None
    return bool(value <= bound if judge == "at most" else value >= bound)


def _about(pair: list[str], pairs: int) -> str:
    names = []
    for name in pair:
        try:
            names.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            names.append(name)
    return (
        f"{names[0]} against {names[1]}; CPython {platform.python_version()}, {os.cpu_count()} cores; fresh processes "
        f'in turn, medians of {pairs} pairs; durability="sync"; the ratio is the median of the pairs\' ratios'
    )


def _print_table(about: str, pair: list[str], results: list[dict[str, Any]]) -> None:
    head = ("", pair[0], pair[1], "CPU", "CPU", "ratio", "must", "aim", "")
    lines = [head, *(_cells(result) for result in results)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
    print(about)
    for line in lines:
        print(
            "  ".join(
                cell.ljust(w) if n == 0 else cell.rjust(w) for n, (cell, w) in enumerate(zip(line, widths, strict=True))
            )
        )


def _cells(result: dict[str, Any]) -> tuple[str, ...]:
    cpu = [_scaled(value, "ms") if result["is_time"] else "" for value in result["cpu"]]
    unit = "share" if result["is_share"] else "times" if result["judge"] == "faster" else result["unit"]
    sign = "<= " if result["judge"] == "at most" else ">= "
    bounds = ["" if result[key] is None else sign + _bound(result[key], unit) for key in ("must", "aim")]
    verdict = {True: "pass", False: "FAIL", None: ""}[result["passes"]]
    verdict += ", aim" if result["reaches_aim"] else ""
    ratio = _bound(result["judged"], "share") if result["is_share"] else _times(result["ratio"])
    return (
        result["name"],
        _scaled(result["first"], result["unit"]),
        _scaled(result["second"], result["unit"]),
        *cpu,
        ratio,
        *bounds,
        verdict,
    )


def _times(ratio: float) -> str:
    return "" if math.isnan(ratio) else f"{ratio:.2f}x"


def _bound(value: float, unit: str) -> str:
    if unit == "times":
        return f"{value:g}x"
    return f"{value:.2f}" if unit == "share" else _scaled(value, unit)


def _scaled(value: float, unit: str) -> str:
    if math.isnan(value):
        return "-"
    scale, name = SCALES[unit]
    return f"{value * scale:.4g} {name}".strip()


if __name__ == "__main__":
    sys.exit(main())
