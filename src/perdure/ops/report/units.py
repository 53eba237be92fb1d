"""Sizes as people read them."""

from __future__ import annotations


def in_bytes(size: float) -> str:
    """Return a number of bytes with a unit that suits it."""
    if size < 1024:
        return f"{size} B"
    for unit in ("KB", "MB"):
        size /= 1024
        if size < 1024:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} GB"
