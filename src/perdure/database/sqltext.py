"""SQL as static text: named statements and numbered migrations in `.sql` files."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from xxhash import xxh3_64_hexdigest


class Migration(NamedTuple):
    """A numbered step of the schema."""

    version: int
    name: str
    checksum: str
    statements: list[str]


def load_statements(file: Path) -> dict[str, str]:
    """Read the statements of a file: each begins with a line `-- name: ...`."""
    found: dict[str, str] = {}
    for block in file.read_text(encoding="utf-8").split("-- name: ")[1:]:
        name, _, text = block.partition("\n")
        found[name.strip()] = text.strip().removesuffix(";")
    return found


def load_migrations(folder: Path) -> list[Migration]:
    """Read the migrations of a folder, `0001_name.sql` and so on, in their order."""
    return [_migration(file) for file in sorted(folder.glob("[0-9]*_*.sql"))]


def _migration(file: Path) -> Migration:
    number, _, name = file.stem.partition("_")
    text = file.read_text(encoding="utf-8")
    # A statement ends with a semicolon at the end of a line; there are no triggers.
    statements = [s.strip() for s in text.split(";\n") if s.strip()]
    return Migration(int(number), name, xxh3_64_hexdigest(text.encode()), statements)
