"""What `PostgresStore` is made of and configured by, at the place where programs look for it."""

from perdure.database.sqltext import Migration
from perdure.store.base.plan import Row
from perdure.store.postgres import BasePostgresStore, PostgresStore
from perdure.store.postgres.indexing import (
    ANNIndexConfig,
    HNSWConfig,
    IVFFlatConfig,
    PoolConfig,
    PostgresIndexConfig,
    get_distance_operator,
)

__all__ = [
    "ANNIndexConfig",
    "BasePostgresStore",
    "HNSWConfig",
    "IVFFlatConfig",
    "Migration",
    "PoolConfig",
    "PostgresIndexConfig",
    "PostgresStore",
    "Row",
    "get_distance_operator",
]
