"""Damages a small database in many ways, and looks at what can still be read, and what is said of the rest."""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import apsw
from typing_extensions import TypedDict

from perdure.checkpoint import layout
from perdure.checkpoint.sealing import PLAIN
from perdure.checkpoint.sqlite import SqliteSaver
from perdure.errors import CorruptCheckpointError
from perdure.graph import START, StateGraph
from perdure.types import interrupt

PIECES = 1 << 32
PIECE_COLUMNS = ("perdure_checkpoints.piece", "perdure_pieces.data")
COLUMNS = ("perdure_checkpoints.record", "perdure_writes.data", *PIECE_COLUMNS)
"""The columns of bytes, with their tables."""

Place = tuple[str, str, str]
"""Thread, namespace, checkpoint id."""


class State(TypedDict):
    messages: Annotated[list, operator.add]
    document: str
    step: int


def message(state: State, who: str) -> dict[str, Any]:
    n = len(state["messages"])
    return {"messages": [f"{who} {n} " + "".join(f"{n * 7919 + i:x}" for i in range(60))]}


def edit(state: State) -> dict[str, Any]:
    number = state.get("step", 0)
    text = state.get("document") or "".join(f"line {i} {i * 104729:x}\n" for i in range(40))
    return {"document": text.replace(f"line {number} ", f"edited {number} "), "step": number + 1}


def ask(state: State) -> dict[str, Any]:
    return {"messages": [interrupt("go on?" + " really" * 30)]}


def graph_on(saver: Any) -> Any:
    inner = (
        StateGraph(State).add_node("reply", lambda state: message(state, "reply")).add_edge(START, "reply").compile()
    )
    builder = StateGraph(State)
    builder.add_node("say", lambda state: message(state, "say"))
    builder.add_node("edit", edit)
    builder.add_node("inner", lambda state: {"messages": inner.invoke({"messages": ["for inner"]})["messages"]})
    builder.add_node("ask", ask)
    builder.add_edge(START, "say")
    builder.add_edge(START, "edit")
    builder.add_edge("say", "inner")
    builder.add_edge("inner", "ask")
    return builder.compile(checkpointer=saver)


def make(path: Path) -> None:
    """Make a database of two threads that wait for an answer, with chains, shared writes and a subgraph."""
    from perdure.types import Command

    with SqliteSaver.from_conn_string(str(path), synchronous="NORMAL") as saver:
        graph = graph_on(saver)
        for thread, rounds in (("one", 3), ("other", 3)):
            for n in range(rounds):
                config = {"configurable": {"thread_id": thread}, "metadata": {"run_id": f"{thread} {n}"}}
                graph.invoke({"messages": [f"question {n} of {thread} " + "?" * 100]}, config)
                if n < rounds - 1:
                    graph.invoke(Command(resume=f"answer {n}"), config)


class Row(NamedTuple):
    """The bytes of a row."""

    column: str
    rowid: int
    data: bytes
    ns: int
    users: frozenset[tuple[Place, str]]
    """The checkpoints that need it, and what of them an error shall name."""


class Database:
    """The database, which is damaged and repaired; what it reads like when it is whole."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        make(path)
        self._file = path.read_bytes()
        self._sql = apsw.Connection(self.path)
        self.whole = dict(self._read())
        self.rows = [*self._rows()]

    def close(self) -> None:
        self._sql.close()

    def restore(self) -> None:
        """Make the file what it was, whatever a test did to it."""
        self._sql.close()
        Path(self.path).write_bytes(self._file)
        self._sql = apsw.Connection(self.path)

    def _read(self) -> Iterator[tuple[Place, Any]]:
        with SqliteSaver.from_conn_string(self.path) as saver:
            for entry in saver.list(None):
                yield _place(entry), entry

    def _rows(self) -> Iterator[Row]:
        """List the rows with bytes, and by whom each is needed, as docs/storage-format.md has it."""
        execute = self._sql.execute
        places: dict[tuple[int, str], Place] = {}
        users: dict[int, set[tuple[Place, str]]] = defaultdict(set)
        query = """SELECT c.rowid, c.ns, c.record, c.parent_id, n.thread_id, n.checkpoint_ns, c.checkpoint_id
            FROM perdure_checkpoints AS c JOIN perdure_namespaces AS n USING (ns) ORDER BY c.ns, c.checkpoint_id"""
        before: tuple[int, str] | None = None
        for rowid, ns, frame, parent_id, *place in execute(query).fetchall():
            where = places[ns, place[2]] = tuple(place)
            outline = layout.open_row(PLAIN, frame, place[2])
            record = outline.record
            assert record is not None  # no long one among them
            needed = {(where, "(its record)")}
            if before == (ns, parent_id):  # it has the parent's writes, if there are any
                led = (places[before], "(pending writes)")
                needed.add(led)
                for number in layout.numbers_of_all({}, outline.led):
                    users[ns * PIECES + number].add(led)
            before = (ns, place[2])
            yield Row("perdure_checkpoints.record", rowid, frame, ns, frozenset(needed))
            for channel, ref in record.refs.items():
                for number in layout.numbers_of(ref):
                    users[ns * PIECES + number].add((where, channel))
        query = "SELECT rowid, ns, checkpoint_id, task_id, task_path, data FROM perdure_writes"
        for rowid, ns, checkpoint_id, task_id, task_path, data in execute(query).fetchall():
            where = places[ns, checkpoint_id]
            yield Row("perdure_writes.data", rowid, data, ns, frozenset({(where, "(pending writes)")}))
            for number in layout.numbers_of_all({}, [layout.open_task(PLAIN, checkpoint_id, task_id, task_path, data)]):
                users[ns * PIECES + number].add((where, "(pending writes)"))
        pieces = [
            "SELECT key, piece FROM perdure_checkpoints WHERE piece NOT NULL",
            "SELECT piece, data FROM perdure_pieces",
        ]
        for column, query in zip(PIECE_COLUMNS, pieces, strict=True):
            for number, data in execute(query).fetchall():
                yield Row(column, number, data, number // PIECES, frozenset(users[number]))

    def of(self, *columns: str) -> list[Row]:
        return [row for row in self.rows if row.column in columns]

    def set(self, row: Row, data: bytes) -> None:
        table, column = row.column.split(".")
        self._sql.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (data, row.rowid))

    def execute(self, sql: str, values: Iterable[Any] = ()) -> list[Any]:
        return self._sql.execute(sql, tuple(values)).fetchall()

    def repair(self, *rows: Row) -> None:
        for row in rows:
            self.set(row, row.data)

    def look(self) -> Finding:
        """Read every checkpoint by itself."""
        return self.look_at(self.whole)

    def look_at(self, places: Iterable[Place]) -> Finding:
        """Read some checkpoints, each by itself."""
        finding = Finding({}, {}, {})
        with SqliteSaver.from_conn_string(self.path) as saver:
            for place in places:
                whole = self.whole[place]
                try:
                    found = saver.get_tuple(whole.config)
                except CorruptCheckpointError as e:
                    finding.corrupt[place] = e
                else:
                    (finding.same if found == whole else finding.different)[place] = found
        return finding


class Finding(NamedTuple):
    """What a look found, by checkpoint."""

    same: dict[Place, Any]
    different: dict[Place, Any]
    corrupt: dict[Place, CorruptCheckpointError]

    def named(self) -> set[tuple[Place, str]]:
        """Return the places that the errors name; each names the checkpoint that was read."""
        for (thread, ns, checkpoint_id), e in self.corrupt.items():
            assert (e.thread_id, e.checkpoint_ns, e.checkpoint_id) == (thread, ns, checkpoint_id)
            assert repr(thread) in str(e)
            assert checkpoint_id in str(e)
            assert e.channel in str(e)
        return {(place, e.channel) for place, e in self.corrupt.items()}


def _place(entry: Any) -> Place:
    c = entry.config["configurable"]
    return c["thread_id"], c["checkpoint_ns"], c["checkpoint_id"]
