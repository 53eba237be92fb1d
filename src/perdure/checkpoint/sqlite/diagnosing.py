"""What is worth knowing of an SQLite database."""

from __future__ import annotations

from typing import Any, Final

from perdure.checkpoint.diagnosis import Check, Verdict, judge

_FIXED: Final = (3, 51, 3)
_FULL: Final = 2


def checks(row: Any) -> list[Check]:
    """Judge the row of the statement `diagnose`."""
    version, mode, synchronous, schema, size, free = row
    return [
        judge(
            "SQLite",
            version,
            is_well=tuple(map(int, version.split("."))) >= _FIXED,
            advice="before 3.51.3 a checkpoint of the WAL can damage a file, rarely: bring apsw 3.51.3 or newer",
        ),
        judge(
            "journal", mode, is_well=mode in ("wal", "memory"), advice="others wait for each writer: use a local disk"
        ),
        judge(
            "synchronous",
            "FULL" if synchronous >= _FULL else "NORMAL",
            is_well=synchronous >= _FULL,
            advice="a power failure may take the newest commits",
            otherwise=Verdict.NOTE,
        ),
        Check("schema version", str(schema)),
        judge(
            "size",
            f"{size} bytes, {free} unused",
            is_well=free <= size // 2,
            advice="VACUUM gives the unused part back",
            otherwise=Verdict.NOTE,
        ),
    ]
