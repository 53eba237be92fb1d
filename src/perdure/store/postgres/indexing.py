"""Nearest vectors by pgvector: what can be configured, the index that is made of it, and the statements."""

from __future__ import annotations

import math
from array import array
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypedDict

from perdure.database.operation import Op
from perdure.database.postgres import schema
from perdure.database.postgres.naming import prefix_of
from perdure.database.sqltext import load_migrations, load_statements
from perdure.errors import StorageError, UsageError
from perdure.store.base import IndexConfig
from perdure.store.base.plan import Index
from perdure.store.nearest import Nearest, bringing_in


class ANNIndexConfig(TypedDict, total=False):
    """How pgvector finds what is nearest.

    Attributes:
        kind: `hnsw` (default) and `ivfflat` are indexes, which find nearly all of it; `flat` compares everything, in
            the database.
        vector_type: `halfvec` keeps 16 bits a number in the index instead of 32; indexes of `vector` have at most
            2,000 dimensions, of `halfvec` 4,000.
    """

    kind: Literal["hnsw", "ivfflat", "flat"]
    vector_type: Literal["vector", "halfvec"]


class HNSWConfig(ANNIndexConfig, total=False):
    """A graph of neighbours: fast to search, slow to build.

    Attributes:
        m: Neighbours of each vector (16).
        ef_construction: Candidates for them (64).
        ef_search: Candidates of a search at a time (40): more of them find more of what is nearest.
    """

    m: int
    ef_construction: int
    ef_search: int


class IVFFlatConfig(ANNIndexConfig, total=False):
    """Vectors in lists around centres, which are those of the items that are there when the index is made.

    Attributes:
        nlist: How many lists (100).
        probes: How many of them a search looks through at a time; the square root of their number by default.
    """

    nlist: int
    probes: int


class PostgresIndexConfig(IndexConfig, total=False):
    """How items are made searchable by meaning on Postgres.

    Attributes:
        ann_index_config: How pgvector finds what is nearest. Without it, a search compares the query with every item
            in the namespace here, and the server needs no extension.
    """

    ann_index_config: ANNIndexConfig | HNSWConfig | IVFFlatConfig


class PoolConfig(TypedDict, total=False):
    """How many connections a store opens.

    Attributes:
        min_size: Without effect: a connection is opened when it is first needed.
        max_size: At most so many.
        kwargs: Parameters of the connections.
    """

    min_size: int
    max_size: int | None
    kwargs: dict[str, Any]


_OPERATORS: Final = {
    "cosine": ("<=>", "cosine_ops", "1 - coalesce(nullif(near.distance, 'NaN'), 1)"),
    "inner_product": ("<#>", "ip_ops", "-near.distance"),
    "l2": ("<->", "l2_ops", "-near.distance"),
}
"""By distance: pgvector's operator, the end of its operator class's name, and how a score is made of a distance."""

_OPTIONS: Final = {"hnsw": {"m": "m", "ef_construction": "ef_construction"}, "ivfflat": {"nlist": "lists"}, "flat": {}}
"""By kind: what can be configured of the index, and pgvector's name for it."""

_SEARCHING: Final = {"hnsw": "ef_search", "ivfflat": "probes"}
"""By kind: what can be configured of a search."""

_LISTS: Final = 100
_CANDIDATES: Final = 40

_OLDEST: Final = (0, 8)  # the first with iterative scans: before, a search in a namespace could find nothing


@cache
def vector_tables() -> schema.Tables:
    """Return what pgvector adds to the tables of stores."""
    migrations = load_migrations(Path(__file__).with_name("vector_migrations"))
    return schema.Tables("perdure_store_vector_migrations", migrations)


@cache
def _texts() -> dict[str, str]:
    return load_statements(Path(__file__).with_name("nearest.sql"))


class AnnIndex(NamedTuple):
    """An index of vectors, and how it is searched.

    Attributes:
        name: Of the index; empty if everything is compared.
        definition: The statement that makes it.
        analysing: The statement by which the planner learns how many items there are.
        near: How it is searched.
    """

    schema: str | None
    name: str
    definition: str
    analysing: str
    near: Nearest

    def exists(self) -> Op[bool]:
        """Tell whether it is there."""
        if not self.name:
            return True
        [[(found,)]] = yield [(_texts()["index_exists"], (prefix_of(self.schema) + self.name,))]
        return bool(found)

    def make(self) -> Op[None]:
        """Make it of all vectors, unless it is there. Nobody can store others meanwhile."""
        assert self.near.waiting is not None
        while True:
            [waiting] = yield [(self.near.waiting, ())]
            if not waiting:
                break
            yield bringing_in(self.near, waiting)
        yield [(self.definition, ()), (self.analysing, ())] if self.name else [(self.analysing, ())]


def check_extension(where: str) -> Op[None]:
    """Check that the server has pgvector.

    Raises:
        StorageError: It doesn't, or an old one.
    """
    [rows] = yield [(_texts()["available"], ())]
    version = rows[0][0] if rows else None
    if version is None or tuple(map(int, version.split(".")[:2])) < _OLDEST:
        has = "isn't there" if version is None else f"is of version {version}"
        raise StorageError(
            f"{where}: ann_index_config needs the extension pgvector 0.8 or newer, which {has}",
            hint="install it on the server, or leave ann_index_config out: vectors are then compared here",
        )


def ann_index_of(config: IndexConfig | None, index: Index | None, where: str | None) -> AnnIndex | None:
    """Return the index that a store's config asks for, if it asks for one.

    Raises:
        UsageError: It asks for something that there isn't.
    """
    if config is None or index is None or (asked := config.get("ann_index_config")) is None:
        return None
    return _Asked(dict(asked), index, where).made()  # type: ignore[call-overload]


def get_distance_operator(store: Any) -> tuple[str, str]:
    """Return pgvector's operator for a store's distance, and how a score is made of what it gives.

    Raises:
        UsageError: The store has no index.
    """
    if store.index_config is None:
        raise UsageError("the store has no index", hint="make it with index={...}")
    operator, _, score = _OPERATORS[store.index_config.get("distance_type") or "cosine"]
    return operator, score


class _Asked:
    """A config of an index, checked."""

    def __init__(self, config: dict[str, Any], index: Index, where: str | None) -> None:
        self.where = where
        self.distance = index.distance
        self.kind = config.pop("kind", "hnsw")
        self.type = config.pop("vector_type", "vector")
        _one_of("ann_index_config['kind']", self.kind, tuple(_OPTIONS))
        _one_of("ann_index_config['vector_type']", self.type, ("vector", "halfvec"))
        self.dims = _whole("dims", index.dims)
        names: dict[str, str] = _OPTIONS[self.kind]
        searching = _SEARCHING.get(self.kind, "")
        self.candidates = _whole(searching, config.pop(searching, self._default(config)))
        if others := sorted(config.keys() - names.keys()):
            raise UsageError(
                f"an index of the kind {self.kind!r} has no {', '.join(others)}",
                hint=f"it has: {', '.join(filter(None, [*names, searching])) or 'nothing'}",
            )
        self.options = {names[name]: _whole(name, value) for name, value in config.items()}

    def _default(self, config: dict[str, Any]) -> int:
        return math.isqrt(_whole("nlist", config.get("nlist", _LISTS))) if self.kind == "ivfflat" else _CANDIDATES

    def made(self) -> AnnIndex:
        near = Nearest(
            self._text("nearest"),
            bound=_as_text,
            is_complete=self.kind == "flat",
            before=() if self.kind == "flat" else [(self._text(f"settings_{self.kind}"), (str(self.candidates),))],
            put=self._text("put"),
            waiting=self._text("waiting"),
            bring_in=self._text("bring_in"),
        )
        name = "" if self.kind == "flat" else self._name()
        definition = self._text("index").replace("@index", name)
        return AnnIndex(self.where, name, definition, self._text("analyse"), near)

    def _name(self) -> str:
        chosen = "".join(f"_{name[:4]}{value}" for name, value in self.options.items())
        return f"perdure_nearest_{self.kind}_{self.type}{self.dims}_{self.distance}{chosen}"

    def _text(self, name: str) -> str:
        """Fill in what can't be bound; all of it is checked: names out of this module, and whole numbers."""
        operator, operators, score = _OPERATORS[self.distance]
        options = ", ".join(f"{name} = {value}" for name, value in self.options.items())
        text = "\n".join(line for line in _texts()[name].split("\n") if not line.startswith("--"))
        for mark, value in {
            "@schema.": prefix_of(self.where),
            "@method": self.kind,
            "@type": self.type,
            "@dims": str(self.dims),
            "@operators": f"{self.type}_{operators}",
            "@operator": operator,
            "@options": f"WITH ({options})" if options else "",
            "@score": score,
        }.items():
            text = text.replace(mark, value)
        return text


def _one_of(what: str, given: Any, known: tuple[str, ...]) -> None:
    if given not in known:
        raise UsageError(f"{what} is one of {', '.join(known)}, not {given!r}")


def _whole(what: str, given: Any) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or not 0 < given < 1 << 31:
        raise UsageError(f"an index of pgvector needs a whole number for {what!r}, not {given!r}")
    return given


def _as_text(vector: bytes) -> str:
    """Write a packed vector as pgvector reads it."""
    numbers = array("f")
    numbers.frombytes(bytes(vector))
    return f"[{','.join(map(repr, numbers))}]"
