"""The floor of a step on SQLite: the driver alone, with the very commits and bytes of a run."""

import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import apsw

from benchmarks import graphs

_WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE", "BEGIN", "COMMIT", "WITH")
_ROUNDS = 3

Statement = tuple[str, Any]


def measure(package: str, k: int, synchronous: str) -> dict[str, float]:
    """Return seconds a step of the package, and of the bare driver; a package without apsw has no floor here."""
    if package != "perdure":
        return {"wall": float("nan"), "cpu": float("nan"), "raw": float("nan")}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        empty = folder / "empty.db"
        with graphs.sqlite_saver(package, str(empty), synchronous):
            pass
        statements = _record(_copy(empty, "record"), k, synchronous)
        own, raw, cpu = [], [], []
        for n in range(_ROUNDS):
            wall, used = _own(_copy(empty, f"own{n}"), k, synchronous)
            own.append(wall)
            cpu.append(used)
            raw.append(_replay(_copy(empty, f"raw{n}"), statements, synchronous))
        return {
            "wall": statistics.median(own) / k,
            "cpu": statistics.median(cpu) / k,
            "raw": statistics.median(raw) / k,
            "commits": sum(sql.upper().startswith("COMMIT") for sql, _ in statements) / k,
        }


def _copy(empty: Path, name: str) -> str:
    return str(shutil.copy(empty, empty.with_name(f"{name}.db")))


def _open(path: str, synchronous: str) -> tuple[Any, apsw.Connection]:
    from perdure.checkpoint.sqlite import SqliteSaver

    connection = apsw.Connection(path)
    return SqliteSaver(connection, synchronous=synchronous), connection


def _record(path: str, k: int, synchronous: str) -> list[Statement]:
    """Run once, and keep each statement that writes, with its values."""
    saver, connection = _open(path, synchronous)
    graph = graphs.counter("perdure", k, saver)
    graph.get_state(graphs.config("measured"))
    found: list[Statement] = []

    def trace(_: Any, sql: str, values: Any) -> bool:
        if sql.lstrip().upper().startswith(_WRITES):
            found.append((sql, tuple(values) if values is not None else ()))
        return True

    connection.exec_trace = trace
    graph.invoke({"n": 0}, graphs.config("measured", k), durability="sync")
    connection.exec_trace = None
    saver.close()
    connection.close()
    return found


def _own(path: str, k: int, synchronous: str) -> tuple[float, float]:
    saver, connection = _open(path, synchronous)
    graph = graphs.counter("perdure", k, saver)
    graph.get_state(graphs.config("measured"))
    wall, cpu = time.perf_counter(), time.process_time()
    graph.invoke({"n": 0}, graphs.config("measured", k), durability="sync")
    spent = time.perf_counter() - wall, time.process_time() - cpu
    saver.close()
    connection.close()
    return spent


def _replay(path: str, statements: list[Statement], synchronous: str) -> float:
    connection = apsw.Connection(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    cursor = connection.cursor()
    begun = time.perf_counter()
    for sql, values in statements:
        cursor.execute(sql, values).fetchall()
    spent = time.perf_counter() - begun
    connection.close()
    return spent
