"""What an encrypting serializer hides in files and databases, and that it reads nothing else."""

from pathlib import Path
from typing import Any, TypedDict

import psycopg
import pytest
from tests.contract.conftest import encrypting

from perdure.checkpoint.postgres import PostgresSaver
from perdure.checkpoint.sqlite import SqliteSaver
from perdure.errors import SerializationError
from perdure.graph import START, StateGraph
from perdure.store.sqlite import SqliteStore

SECRET = "the launch code is 0000"
THREAD: Any = {"configurable": {"thread_id": "t"}}


class State(TypedDict):
    note: str


def fails(state: State) -> State:
    raise RuntimeError(f"{SECRET}, says the error")


def run_with_secrets(saver: Any) -> None:
    builder = StateGraph(State).add_node("keep", lambda _: {"note": f"{SECRET}, says a node"})
    builder.add_node("fails", fails).add_edge(START, "keep").add_edge("keep", "fails")
    graph = builder.compile(checkpointer=saver)
    with pytest.raises(RuntimeError):
        graph.invoke({"note": f"{SECRET}, says the input"}, THREAD)
    state = graph.get_state(THREAD)
    assert state.values == {"note": f"{SECRET}, says a node"}
    assert SECRET in str(state.tasks[0].error)


def test_a_file_tells_no_value(tmp_path: Path):
    for name, serde in (("plain.db", None), ("secret.db", encrypting())):
        path = tmp_path / name
        with SqliteSaver.from_conn_string(str(path), serde=serde) as saver:
            run_with_secrets(saver)
        with SqliteStore.from_conn_string(str(path), serde=serde) as store:
            store.put(("users",), "ada", {"note": f"{SECRET}, says an item"})
            assert store.search(("users",))[0].value == {"note": f"{SECRET}, says an item"}
        assert (SECRET.encode() in path.read_bytes()) is (serde is None)


def test_a_database_tells_no_value(database: str):
    with PostgresSaver.from_conn_string(database, serde=encrypting()) as saver:
        run_with_secrets(saver)
    with psycopg.connect(database) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert tables
        for (table,) in tables:
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                assert SECRET.encode() not in b" ".join(str(x).encode() if not isinstance(x, bytes) else x for x in row)


def test_what_was_stored_without_encryption_is_refused(tmp_path: Path):
    path = str(tmp_path / "plain.db")
    with SqliteSaver.from_conn_string(path) as saver:
        StateGraph(State).add_node("n", lambda _: {}).add_edge(START, "n").compile(checkpointer=saver).invoke(
            {"note": "x"}, THREAD
        )
    refused = pytest.raises(SerializationError, match="encrypted ones only")
    with SqliteSaver.from_conn_string(path, serde=encrypting()) as saver, refused:
        saver.get_tuple(THREAD)


def test_what_is_encrypted_needs_the_key(tmp_path: Path):
    path = str(tmp_path / "secret.db")
    with SqliteSaver.from_conn_string(path, serde=encrypting()) as saver:
        run_with_secrets(saver)
    refused = pytest.raises(SerializationError, match=r"encrypted\+aes-gcm-siv")
    with SqliteSaver.from_conn_string(path) as saver, refused:
        saver.get_tuple(THREAD)
