"""Files that commands write."""

from __future__ import annotations

from pathlib import Path

from perdure.cli.exits import CommandError


def write_file(path: Path, data: bytes) -> None:
    """Write a file.

    Raises:
        CommandError: It can't be written.
    """
    try:
        path.write_bytes(data)
    except OSError as e:
        raise CommandError(f"can't write {path}: {e.strerror}") from e
