"""Puts every decision of docs/adr into the navigation, so that adding one is adding a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def on_config(config: Any) -> Any:
    """Add the numbered files of docs/adr after its index."""
    decisions = sorted(path.name for path in Path(config.docs_dir, "adr").glob("[0-9]*.md"))
    _section(config.nav, "adr/index.md").extend(f"adr/{name}" for name in decisions)
    return config


def _section(nav: Any, page: str) -> list[Any]:
    """Return the list of the navigation that holds `page`."""
    for item in nav:
        for child in item.values() if isinstance(item, dict) else ():
            if isinstance(child, list):
                if page in child:
                    return child
                if found := _section(child, page):
                    return found
    return []
