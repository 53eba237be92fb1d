"""Nearest vectors by sqlite-vec, whose functions compare vectors where they are: `pip install 'perdure[sqlite-vec]'`.

All of a namespace's vectors are compared, as without it; but in C, and nothing is read but what is found.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from perdure.database.sqlite.connection import Connection
from perdure.store.base.embed import Distance
from perdure.store.nearest import Nearest

_STATEMENTS: Final[Mapping[Distance, str]] = {"cosine": "nearest_cosine", "l2": "nearest_l2"}


def nearest_of(connection: Connection, distance: Distance, sql: Mapping[str, str]) -> Nearest | None:
    """Let a connection compare vectors, if it can; None: it can't, and everything is compared in Python.

    It can't without the package, if the connection's library was built without extensions, and for inner products.
    """
    if distance not in _STATEMENTS:
        return None
    try:
        import sqlite_vec
    except ImportError:
        return None
    return Nearest(sql[_STATEMENTS[distance]]) if connection.load_extension(sqlite_vec.loadable_path()) else None
