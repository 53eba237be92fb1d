"""How a pool of connections is used."""

from __future__ import annotations

from typing import NamedTuple


class PoolUse(NamedTuple):
    """Connections of a pool, and who waits for one.

    Attributes:
        size: How many there may be.
        used: How many are lent now.
        waiting: Callers who wait for one.
    """

    size: int
    used: int
    waiting: int
