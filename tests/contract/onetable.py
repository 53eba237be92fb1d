"""The saver of docs/adding-a-saver.md on a store of rows: what a reader copies is what is tested."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from perdure.checkpoint.rows import RowSaver

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-saver.md"


def _executed() -> dict[str, Any]:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    [code] = [block for block in blocks if "class OneTable" in block]
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    return names


_NAMES = _executed()


def open_table(path: Path | str, serde: Any = None) -> RowSaver[Any]:
    """Open the saver of a file."""
    return _NAMES["open_table"](str(path), serde)


def make(folder: str, serde: Any = None) -> RowSaver[Any]:
    """Open the saver of a folder, for `python -m perdure.checkpoint.conformance`."""
    return open_table(Path(folder) / "rows.db", serde)
