"""Short samples of what was stored, and the search for them in what is stored.

What is stored is mostly compressed: a text isn't found in it. So before rows are deleted, windows of their own bytes
are noted, and afterwards looked for everywhere. A window begins with a byte of an eighth of all 256, so a search looks
closer at every eighth byte only. Of a row three are noted: databases split long ones, and a window may be cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

WINDOW: Final = 16
_LEAST: Final = 8
_ANCHOR: Final = re.compile(b"[" + b"".join(re.escape(bytes((byte,))) for byte in range(256) if byte % 8 == 5) + b"]")


class Fingerprints:
    """Samples of stored bytes.

    Attributes:
        count: How many pieces have been noted.
    """

    def __init__(self) -> None:
        self.count = 0
        self._windows: set[bytes] = set()
        self._plain: set[bytes] = set()

    def add(self, stored: Iterable[bytes]) -> None:
        """Note pieces of what is stored; very short ones, which could be anything's, are left out."""
        for piece in stored:
            if len(piece) < _LEAST:
                continue
            self.count += 1
            starts = [found.start() for found in _ANCHOR.finditer(piece, 0, max(0, len(piece) - WINDOW + 1))]
            if starts:
                chosen = {starts[0], starts[len(starts) // 2], starts[-1]}
                self._windows.update([piece[at : at + WINDOW] for at in chosen])
            else:
                self._plain.add(piece[:WINDOW])

    def found_in(self, data: bytes) -> dict[bytes, int]:
        """Find samples; return each with its first offset."""
        found: dict[bytes, int] = {}
        windows = self._windows
        if windows:
            for anchor in _ANCHOR.finditer(data):
                at = anchor.start()
                if (window := data[at : at + WINDOW]) in windows:
                    found.setdefault(window, at)
        for sample in self._plain:
            if (at := data.find(sample)) >= 0:
                found.setdefault(sample, at)
        return found
