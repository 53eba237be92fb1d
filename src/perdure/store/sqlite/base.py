"""What `SqliteStore` is made of and configured by, at the place where programs look for it."""

from perdure.database.operation import Statement
from perdure.store.base import IndexConfig
from perdure.store.sqlite import SqliteStore

__all__ = ["BaseSqliteStore", "PreparedGetQuery", "SqliteIndexConfig", "SqliteStore"]

BaseSqliteStore = SqliteStore
"""Every store on SQLite is one, whatever its colour."""

SqliteIndexConfig = IndexConfig
"""How items are made searchable by meaning on SQLite: nothing more than everywhere."""

PreparedGetQuery = Statement
"""What a store sends to the database: a text of SQL and its bound values."""
