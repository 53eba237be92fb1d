"""The savers that docs/adding-a-saver.md shows: what a reader copies is what is tested."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from perdure.checkpoint.objects import ObjectSaver
from perdure.checkpoint.rows import RowSaver

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-saver.md"


def _executed(*classes: str) -> dict[str, Any]:
    """Execute the blocks of the page that have these classes, up to where a saver is used."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    for name in classes:
        [code] = [block for block in blocks if f"class {name}(" in block]
        exec(compile(code.partition("\nwith ")[0], str(PAGE), "exec"), names)
    return names


_NAMES = _executed("OneTable", "Documents")


def open_table(path: Path | str, serde: Any = None) -> RowSaver[Any]:
    """Open the saver on a table, of a file."""
    return _NAMES["open_table"](str(path), serde)


def open_documents() -> ObjectSaver[Any]:
    """Open the saver on documents, of none."""
    return ObjectSaver(_NAMES["Documents"]())


def make(folder: str, serde: Any = None) -> RowSaver[Any]:
    """Open the saver of a folder, for `python -m perdure.checkpoint.conformance`."""
    return open_table(Path(folder) / "rows.db", serde)
