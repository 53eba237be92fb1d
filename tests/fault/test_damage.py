"""Damaged rows: they are found and named, everything else stays readable, and nothing is ever silently different."""

import itertools
import random

import pytest
from tests.fault.damage import COLUMNS, PIECE_COLUMNS, PIECES, Database, graph_on

from perdure.checkpoint.sqlite import SqliteSaver
from perdure.errors import CorruptCheckpointError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    database = Database(tmp_path_factory.mktemp("damage") / "small.db")
    yield database
    database.close()


@pytest.fixture
def database(made):
    yield made
    made.restore()


def check(database, *rows):
    """Check that exactly those checkpoints can't be read that need one of the rows, and that they say so."""
    users = {user for row in rows for user in row.users}
    finding = database.look()
    assert not finding.different
    assert finding.corrupt.keys() == {place for place, _ in users}
    assert finding.named() <= users


def test_whole(database):
    assert all(len(database.of(column)) > 5 for column in COLUMNS)
    assert len(database.rows) > 80
    assert not database.look().corrupt
    assert not database.look().different


def flipped(data, chance):
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ chance.randrange(1, 256)]) + data[at + 1 :]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("column", COLUMNS)
def test_a_flipped_byte(database, column, seed):
    chance = random.Random(seed)
    for row in database.of(column):
        database.set(row, flipped(row.data, chance))
        check(database, row)
        database.repair(row)


def test_each_byte_and_bit_of_some_rows(database):
    for column in COLUMNS:
        row = min(database.of(column), key=lambda row: len(row.data))
        for at, bit in itertools.product(range(len(row.data)), (0, 7)):
            database.set(row, row.data[:at] + bytes([row.data[at] ^ 1 << bit]) + row.data[at + 1 :])
            finding = database.look_at(place for place, _ in row.users)
            assert not finding.same
            assert not finding.different
        database.repair(row)


@pytest.mark.parametrize("column", COLUMNS)
def test_a_truncated_row(database, column):
    chance = random.Random(0)
    for row in database.of(column):
        for data in (b"", row.data[:-1], row.data[: chance.randrange(len(row.data))], row.data + b"\0"):
            database.set(row, data)
            check(database, row)
        database.repair(row)


def pairs(rows, chance, many=60):
    """Return pairs of rows with different bytes."""
    found = [pair for pair in itertools.combinations(rows, 2) if pair[0].data != pair[1].data]
    return chance.sample(found, min(many, len(found)))


@pytest.mark.parametrize("column", COLUMNS)
def test_exchanged_rows(database, column):
    for one, other in pairs(database.of(column), random.Random(0)):
        database.set(one, other.data)
        database.set(other, one.data)
        check(database, one, other)
        database.repair(one, other)


@pytest.mark.parametrize("column", COLUMNS)
def test_a_row_in_the_place_of_another(database, column):
    for one, other in pairs(database.of(column), random.Random(1)):
        database.set(one, other.data)
        check(database, one)
        database.repair(one)


def test_exchanged_pieces_make_no_other_value(database):
    for one, other in pairs(database.of(*PIECE_COLUMNS), random.Random(0), 200):
        database.set(one, other.data)
        database.set(other, one.data)
        for place, found in database.look().different.items():
            whole = database.whole[place]
            assert found.checkpoint == whole.checkpoint
        database.repair(one, other)


@pytest.mark.parametrize("column", COLUMNS)
def test_rows_of_other_tables(database, column):
    chance = random.Random(0)
    for row in database.of(column):
        database.set(row, chance.choice([other for other in database.rows if other.column != column]).data)
        check(database, row)
        database.repair(row)


def test_pieces_moved_to_another_namespace(database):
    rows = database.of("perdure_pieces.data")
    chance = random.Random(0)
    taken = {
        key for (key,) in database.execute("SELECT piece FROM perdure_pieces UNION SELECT key FROM perdure_checkpoints")
    }
    for row in rows:
        ns = chance.choice(sorted({other.ns for other in database.rows} - {row.ns}))
        moved = next(n for n in itertools.count(ns * PIECES) if n not in taken)
        database.execute("UPDATE perdure_pieces SET piece = ? WHERE piece = ?", (moved, row.rowid))
        check(database, row)
        database.execute("UPDATE perdure_pieces SET piece = ? WHERE piece = ?", (row.rowid, moved))


def test_a_deleted_piece(database):
    for row in database.of("perdure_pieces.data"):
        database.execute("DELETE FROM perdure_pieces WHERE piece = ?", (row.rowid,))
        check(database, row)
        database.execute("INSERT INTO perdure_pieces (piece, data) VALUES (?, ?)", (row.rowid, row.data))
    for row in database.of("perdure_checkpoints.piece"):
        database.set(row, None)
        check(database, row)
        database.repair(row)


@pytest.mark.parametrize("column", ["perdure_checkpoints.record", "perdure_writes.data"])
def test_a_deleted_row_of_a_checkpoint_changes_no_other(database, column):
    table, _, _ = column.partition(".")
    for row in database.of(column):
        gone = {place for place, what in row.users if what == "(its record)"}
        fewer = {place for place, what in row.users if what == "(pending writes)"}  # those that were in the row
        (columns,) = database.execute(f"SELECT rowid, * FROM {table} WHERE rowid = ?", (row.rowid,))
        database.execute(f"DELETE FROM {table} WHERE rowid = ?", (row.rowid,))
        finding = database.look()
        assert {place for place, found in finding.different.items() if found is None} == gone
        # Its own piece is gone with it: those that need that say so.
        assert finding.corrupt.keys() <= {
            place for other in database.rows if is_beside(other, row) for place, _ in other.users
        }
        for place in finding.different.keys() - gone:
            assert place in fewer
            found = finding.different[place]
            assert found._replace(pending_writes=[]) == database.whole[place]._replace(pending_writes=[])
            assert all(write in database.whole[place].pending_writes for write in found.pending_writes)
        names = [name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")]
        marks = ", ".join("?" * (len(names) + 1))
        database.execute(f"INSERT INTO {table} (rowid, {', '.join(names)}) VALUES ({marks})", columns)
    assert not database.look().different


def is_beside(piece, row):
    return (piece.column, row.column) == ("perdure_checkpoints.piece", "perdure_checkpoints.record") and (
        piece.rowid == row.rowid
    )


# -- around a damaged row


@pytest.fixture
def damaged(database):
    """Damage a row in the middle of thread `one`: its first three checkpoints and the last ones don't need it."""
    history = sorted(place for place in database.whole if place[:2] == ("one", ""))
    middle = history[len(history) // 2]
    (row,) = [row for row in database.of("perdure_checkpoints.record") if (middle, "(its record)") in row.users]
    database.set(row, flipped(row.data, random.Random(5)))
    with SqliteSaver.from_conn_string(database.path) as saver:
        yield saver, middle, history


def config_of(place):
    return {"configurable": dict(zip(("thread_id", "checkpoint_ns", "checkpoint_id"), place, strict=True))}


def ids(entries):
    return [entry.config["configurable"]["checkpoint_id"] for entry in entries]


def test_a_list_comes_to_the_damage_names_it_and_goes_on_behind(damaged):
    saver, middle, history = damaged
    at = history.index(middle)
    found = []
    walk = saver.list({"configurable": {"thread_id": "one", "checkpoint_ns": ""}})
    with pytest.raises(CorruptCheckpointError) as caught:
        found.extend(walk)
    assert caught.value.checkpoint_id == middle[2]
    # The damaged record has the writes of the one before it.
    with pytest.raises(CorruptCheckpointError, match="pending writes") as caught:
        list(saver.list({"configurable": {"thread_id": "one", "checkpoint_ns": ""}}, before=config_of(middle)))
    parent = history[at - 1]
    assert caught.value.checkpoint_id == parent[2]
    behind = saver.list({"configurable": {"thread_id": "one", "checkpoint_ns": ""}}, before=config_of(parent))
    assert ids(behind) == [place[2] for place in reversed(history[: at - 1])]
    assert ids(found) == [place[2] for place in reversed(history[at + 1 :])]


async def test_what_does_not_need_it_works(damaged):
    saver, middle, history = damaged
    assert saver.get_head("one") == history[-1][2]
    assert list(saver.threads()) == ["one", "other"]
    assert (await saver.aget_tuple(config_of(history[-1]))) == saver.get_tuple(config_of(history[-1]))
    with pytest.raises(CorruptCheckpointError, match="'one'"):
        await saver.aget_tuple(config_of(middle))
    assert len(list(saver.list({"configurable": {"thread_id": "other"}}))) > 5
    assert graph_on(saver).get_state({"configurable": {"thread_id": "one"}}).next == ("ask",)


def test_writing_onto_it_names_it(damaged):
    saver, middle, history = damaged
    entry = saver.get_tuple(config_of(history[0]))
    child = entry.checkpoint | {"id": f"{middle[2]}-child", "channel_values": {}}
    with pytest.raises(CorruptCheckpointError) as caught:
        saver.put(config_of(middle), child, {"step": 0}, {})
    assert (caught.value.thread_id, caught.value.checkpoint_id) == ("one", middle[2])


@pytest.mark.parametrize("operation", ["prune", "delete_for_runs", "copy_thread"])
def test_deleting_around_it_changes_nothing_or_works(damaged, database, operation):
    saver, _, history = damaged
    assert saver.get_tuple(config_of(history[0])).metadata["run_id"] == "one 0"
    operations = {
        "prune": lambda: saver.prune(["one"]),
        "delete_for_runs": lambda: saver.delete_for_runs(["one 0"]),
        "copy_thread": lambda: saver.copy_thread("one", "copy"),
    }
    error = None
    try:
        operations[operation]()
    except CorruptCheckpointError as e:
        error = e
    if error is not None:
        finding = database.look()
        assert len(finding.corrupt) == 2  # the damaged one, and the one whose writes it has
        assert not finding.different
        assert error.thread_id == "one"


def test_a_damaged_thread_can_be_deleted(damaged, database):
    saver, *_ = damaged
    saver.delete_thread("one")
    assert list(saver.threads()) == ["other"]
    kept = "SELECT piece FROM perdure_pieces UNION SELECT key FROM perdure_checkpoints"
    assert {row[0] // PIECES for row in database.execute(kept)} == {
        row.ns
        for row in database.of("perdure_checkpoints.record")
        if any(place[0] == "other" for place, _ in row.users)
    }
