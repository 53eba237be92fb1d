"""Savers on stores of threads of rows: everything but what such a store does itself; see docs/adding-a-saver.md.

A backend is a `RowBackend` and a driver, mostly a `BlockingDriver`; a `RowSaver` over them is a whole saver. What isn't
theirs is here: how a thread lies in rows (`keys`), what an operation sees and relies on (`view`), the shared
operations' statements (`statements`), and how they are stored all or nothing (`transactions`).
"""

from perdure.checkpoint.rows.backend import Asking, Change, Directory, Held, Listed, Member, RowBackend, Sight, together
from perdure.checkpoint.rows.saver import RowDriver, RowSaver
from perdure.database.blocking import BlockingDriver

__all__ = [
    "Asking",
    "BlockingDriver",
    "Change",
    "Directory",
    "Held",
    "Listed",
    "Member",
    "RowBackend",
    "RowDriver",
    "RowSaver",
    "Sight",
    "together",
]
