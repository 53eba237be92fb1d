"""What is worth knowing of a Postgres database."""

from __future__ import annotations

from typing import Any

from perdure.checkpoint.diagnosis import Check, Verdict, check_clock, judge


def checks(row: Any) -> list[Check]:
    """Judge the row of the statement `diagnose`."""
    version, number, commit, fsync, pages, clock, standby, may, schema, size = row
    return [
        judge(
            "Postgres", version, is_well=number >= 140000, advice="before 14 it isn't tested", otherwise=Verdict.NOTE
        ),
        judge(
            "synchronous_commit",
            commit,
            is_well=commit != "off",
            advice="a crash of the server may take commits that were acknowledged: SET it to on for this role",
        ),
        judge("fsync", fsync, is_well=fsync == "on", advice="a power failure may destroy the database"),
        judge("full_page_writes", pages, is_well=pages == "on", advice="a power failure may leave torn pages"),
        judge(
            "standby", "yes" if standby else "no", is_well=not standby, advice="it can only be read: use the primary"
        ),
        judge(
            "rights",
            "read and write" if may else "some are missing",
            is_well=may,
            advice="GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN the SCHEMA of perdure's tables to this role",
        ),
        check_clock(clock, "leases go by the server's clock; times in checkpoints by each machine's: run NTP"),
        Check("schema version", str(schema)),
        Check("size", f"{size} bytes"),
    ]
