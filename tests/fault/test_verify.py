"""`check_thread` names everything that is damaged, and nothing else; `repair_thread` leaves a store that is whole."""

from __future__ import annotations

import random

import pytest
from tests.fault.damage import COLUMNS, PIECES, Database, graph_on
from tests.fault.test_damage import config_of, flipped

from perdure.checkpoint.findings import Kind, check_by_list
from perdure.checkpoint.sqlite import SqliteSaver
from perdure.types import Command

THREADS = ("one", "other")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    database = Database(tmp_path_factory.mktemp("verify") / "small.db")
    yield database
    database.close()


@pytest.fixture
def database(made):
    yield made
    made.restore()


def findings_of(saver):
    return [one for thread in THREADS for one in saver.check_thread(thread)]


def check(database):
    with SqliteSaver.from_conn_string(database.path) as saver:
        return findings_of(saver)


def damage_of(found):
    return {((one.thread_id, one.checkpoint_ns, one.checkpoint_id), one.channel) for one in found if one.kind.is_damage}


def test_a_whole_store_has_none(database):
    assert check(database) == []


@pytest.mark.parametrize("column", COLUMNS)
def test_a_flipped_byte_is_named_with_everything_that_needs_it(database, column):
    chance = random.Random(3)
    for row in database.of(column):
        database.set(row, flipped(row.data, chance))
        found = check(database)
        assert damage_of(found) >= {(place, what) for place, what in row.users if what == "(its record)"}
        # A record that can't be opened hides its parent's writes, and whose the pieces are that only it names.
        if column == "perdure_checkpoints.record":
            assert {place for place, _ in damage_of(found)} <= {place for place, _ in row.users}
        else:
            assert damage_of(found) == row.users
        database.repair(row)


def test_a_deleted_piece(database):
    for row in database.of("perdure_pieces.data"):
        database.execute("DELETE FROM perdure_pieces WHERE piece = ?", (row.rowid,))
        found = check(database)
        assert damage_of(found) == row.users
        assert all("not in the store" in one.message for one in found)
        database.execute("INSERT INTO perdure_pieces (piece, data) VALUES (?, ?)", (row.rowid, row.data))


def test_leftovers_are_found_and_removed(database):
    ns = database.of("perdure_writes.data")[0].ns
    row = database.of("perdure_pieces.data")[0]
    database.execute("INSERT INTO perdure_pieces (piece, data) VALUES (?, ?)", (ns * PIECES + 9999, row.data))
    database.execute(
        "INSERT INTO perdure_writes (ns, checkpoint_id, task_id, task_path, data) VALUES (?, '0', 't', '', x'00')",
        (ns,),
    )
    with SqliteSaver.from_conn_string(database.path) as saver:
        found = findings_of(saver)
        assert sorted(one.kind for one in found) == sorted([Kind.UNUSED_PIECE, Kind.LOST_WRITES])
        assert not any(one.kind.is_damage for one in found)
        for thread in THREADS:
            saver.repair_thread(thread)
        assert findings_of(saver) == []
    finding = database.look()
    assert finding.same.keys() == database.whole.keys()


def leftover(found):
    """Leave out what a repair leaves: checkpoints whose parents are gone."""
    return [one for one in found if one.kind != Kind.PARENT]


@pytest.mark.parametrize("column", COLUMNS)
def test_repair_keeps_what_can_be_read(database, column):
    chance = random.Random(4)
    for row in chance.sample(database.of(column), min(12, len(database.of(column)))):
        database.set(row, flipped(row.data, chance))
        before = database.look()
        with SqliteSaver.from_conn_string(database.path) as saver:
            damage = damage_of(findings_of(saver))
            bad = {place for place, what in damage if what != "(pending writes)"}
            hurt = {place for place, what in damage if what == "(pending writes)"}
            for thread in THREADS:
                saver.repair_thread(thread)
            assert leftover(findings_of(saver)) == []
        after = database.look()
        assert not after.corrupt
        assert {place for place, found in after.different.items() if found is None} == bad
        assert before.same.keys() <= {*after.same, *after.different}
        for place in {*after.same, *after.different} - bad:
            found = {**after.same, **after.different}[place]
            assert found.checkpoint == database.whole[place].checkpoint
            kept, all_of_it = found.pending_writes, database.whole[place].pending_writes
            if place in hurt or column == "perdure_checkpoints.record":  # it may have had its parent's writes
                assert [write for write in all_of_it if write in kept] == kept
            else:
                assert kept == all_of_it
        database.restore()


async def test_a_repaired_thread_goes_on(database):
    history = sorted(place for place in database.whole if place[:2] == ("one", ""))
    (row,) = [r for r in database.of("perdure_checkpoints.record") if (history[-1], "(its record)") in r.users]
    database.set(row, flipped(row.data, random.Random(1)))
    with SqliteSaver.from_conn_string(database.path) as saver:
        assert await saver.arepair_thread("one") != []
        assert saver.get_head("one") == history[-2][2]
        assert leftover(await saver.acheck_thread("one")) == []
        graph = graph_on(saver)
        graph.invoke(None, {"configurable": {"thread_id": "one"}})
        result = graph.invoke(Command(resume="yes"), {"configurable": {"thread_id": "one"}})
        assert result["messages"][-1] == "yes"
        assert leftover(saver.check_thread("one")) == []


def test_several_damages_at_once(database):
    chance = random.Random(9)
    rows = chance.sample(database.rows, 10)
    for row in rows:
        database.set(row, flipped(row.data, chance))
    readable = {place for place, found in database.look().same.items() if found is not None}
    with SqliteSaver.from_conn_string(database.path) as saver:
        for thread in THREADS:
            saver.repair_thread(thread)
        assert leftover(findings_of(saver)) == []
        for place in readable:
            assert saver.get_tuple(config_of(place)).checkpoint == database.whole[place].checkpoint


def test_versions_that_go_back(tmp_path):
    from perdure.checkpoint.conformance.case import checkpoint, place

    with SqliteSaver.from_conn_string(str(tmp_path / "v.db")) as saver:
        config = place()
        for n, version in enumerate((5, 4)):
            made = checkpoint({"a": n}, {"a": version}, after=config["configurable"].get("checkpoint_id"))
            config = saver.put(config, made, {}, {"a": version})
        (found,) = saver.check_thread("t")
    assert (found.kind, found.channel, found.message) == (Kind.VERSIONS, "a", "4 after 5")


@pytest.mark.parametrize("column", ["perdure_checkpoints.record", "perdure_checkpoints.piece"])
def test_a_saver_that_knows_no_pieces_names_the_unreadable_checkpoints_too(database, column):
    chance = random.Random(2)
    for row in chance.sample(database.of(column), 4):
        database.set(row, flipped(row.data, chance))
        with SqliteSaver.from_conn_string(database.path) as saver:
            found = [one for thread in THREADS for one in check_by_list(saver, thread)]
        assert {place for place, _ in damage_of(found)} == {place for place, _ in row.users}
        database.repair(row)
