"""Which migrations a database lacks, while processes of several versions of perdure use it.

Rules:

1. A migration's name says when it may be done. `0005_pre_notes.sql`: before the new version's first process starts,
   while older ones run. It only adds what they can do without. `0006_post_notes.sql`: once the last older process has
   gone. A name that says neither is of the time before these rules, and was done with nothing else running.
2. An older version works with a database that has `pre` migrations it doesn't know, and refuses any other.
3. They are done in their order. `post` ones at the end of it wait until they are asked for, or until a version that
   has something after them is set up: then the one that they waited for has gone by the rule that no version but the
   last may be running.
4. A database without any gets all at once.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

from perdure.database.sqltext import Migration
from perdure.errors import SchemaVersionError, StorageError

POST: Final = "PERDURE_POST_MIGRATIONS"
"""The variable that asks for the migrations that wait: 1."""


def outstanding(applied: Sequence[Any], where: str, steps: Sequence[Migration], **place: Any) -> list[Migration]:
    """Return the migrations to do now.

    Args:
        applied: Version, name and checksum of those that were done.
        where: The database, for messages.
        steps: Those that this version of perdure has.
        place: What errors carry besides.

    Raises:
        SchemaVersionError: The database was made by a perdure that is too new.
        StorageError: A migration that was applied isn't the one of this version.
    """
    known = {step.version: step for step in steps}
    for version, name, checksum in applied:
        if version not in known:
            if _is(name, "pre"):
                continue
            raise SchemaVersionError(
                f"{where} has version {version} of the tables ({name}), this perdure knows up to {max(known)}",
                hint="upgrade: pip install -U perdure",
                **place,
            )
        if checksum != known[version].checksum:
            raise StorageError(
                f"{where}: migration {version} ({name}) is not the one that this perdure has",
                hint="were the tables made by a changed copy of perdure?",
                **place,
            )
    done = {row[0] for row in applied}
    missing = [step for step in sorted(steps) if step.version not in done]
    if done and os.environ.get(POST) != "1":
        while missing and _is(missing[-1].name, "post"):
            missing.pop()
    return missing


def _is(name: str, time: str) -> bool:
    return name.startswith(f"{time}_")
