"""Commands whose words have to be put together."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from perdure.database.redis.driver import Command, Script

_BRACES: Final = re.compile(r"[{}%]")


def tagged(prefix: str, name: str) -> str:
    """Return a key with a name for its hash tag: those that go on from it are on one node of a cluster."""
    # A hash tag ends at the first brace, and an empty one counts as none.
    tag = _BRACES.sub(lambda found: f"%{ord(found[0]):02x}", name) or "%"
    return f"{prefix}{{{tag}}}"


def scripts(folder: Path, *names: str) -> list[Script]:
    """Read scripts from their files."""
    return [Script((folder / f"{name}.lua").read_text(encoding="utf-8")) for name in names]


def between(
    key: bytes, start: bytes, end: bytes | None, limit: int | None = None, *, newest_first: bool = False
) -> Command:
    """Return what reads a sorted set's members from `start` on, below `end` if there is one; all scores are equal."""
    bounds: Command = (b"[" + start, b"+" if end is None else b"(" + end)
    found = ("ZREVRANGEBYLEX", key, *bounds[::-1]) if newest_first else ("ZRANGEBYLEX", key, *bounds)
    return found if limit is None else (*found, "LIMIT", 0, limit)
