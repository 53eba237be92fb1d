"""New projects from templates, each of which runs as it is: without a key, a model or a network."""

from __future__ import annotations

import re
import shutil
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Final

from perdure.build.errors import BuildError, explained

TEMPLATES: Final = Path(__file__).with_name("templates")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Template(StrEnum):
    """What a new project is."""

    CHAT = "chat"
    REVIEW = "review"
    RAG = "rag"
    PIPELINE = "pipeline"


def start(folder: Path, template: Template) -> list[Path]:
    """Make a project; return its files.

    Args:
        folder: Where; it is made.
        template: Which.

    Raises:
        BuildError: There is something in that place, or it can't be written.
    """
    if not _NAME.fullmatch(folder.resolve().name):
        raise BuildError(f"{folder.name!r} is no name for a project", hint="letters, digits, and . _ - between")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BuildError(f"{folder} is there already, and isn't empty", hint="another name, or an empty folder")
    with explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".perdure-") as name:
            new = Path(name) / "new"
            shutil.copytree(TEMPLATES / template, new, ignore=shutil.ignore_patterns("__pycache__"))
            if folder.is_dir():
                folder.rmdir()
            new.rename(folder)
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
