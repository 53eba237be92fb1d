"""Verification over every backend; what damage it finds is tests/fault's."""

from __future__ import annotations

import psycopg
import pytest
from tests.ops.conftest import KINDS
from tests.ops.making import THREADS, history

from perdure.checkpoint.conformance.case import checkpoint, place
from perdure.checkpoint.findings import Kind
from perdure.checkpoint.memory import InMemorySaver
from perdure.checkpoint.registry import open_saver
from perdure.errors import ThreadHeldError, UsageError
from perdure.ops import migrate, repair, verify


@pytest.mark.parametrize("kind", ["memory", *KINDS])
async def test_a_whole_store_has_no_findings_and_stays_as_it_is(place_of, kind):
    truth, where = history(InMemorySaver()), place_of(kind)
    migrate(truth, where)
    assert (verify(where).threads, verify(where).findings) == (len(THREADS), [])
    if kind == "memory":
        with pytest.raises(UsageError, match="can't be repaired"):
            repair(where)
        return
    assert repair(where).findings == []
    with open_saver(where) as saver:
        assert list(await saver.acheck_thread("one")) == []
        saver.prune(["one"])
        kinds = {one.kind for one in saver.check_thread("one")}
        assert kinds <= {Kind.PARENT}
    assert migrate(truth, where, verify=True).differences == []


@pytest.mark.parametrize("kind", KINDS)
def test_lost_writes_go_but_not_of_a_held_thread(place_of, kind):
    where = place_of(kind)
    with open_saver(where) as saver:
        config = saver.put(place(), checkpoint({"x": 1}), {}, {"x": 1})
        saver.put_writes(config, [("x", 2)], "task")
        saver.put_writes(place("t", "", "0"), [("x", "of nothing")], "lost")
        saver.keep("t", hold="case 12")
        with pytest.raises(ThreadHeldError, match="case 12"):
            repair(saver)
        assert [one.kind for one in verify(saver).findings] == [Kind.LOST_WRITES]
        saver.keep("t", hold=None)
        assert [one.kind for one in repair(saver).findings] == [Kind.LOST_WRITES]
        assert verify(saver).findings == []
        assert saver.get_tuple(config).pending_writes == [("task", "x", 2)]


def test_a_lost_piece_on_postgres(database):
    truth = history(InMemorySaver())
    migrate(truth, database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "DELETE FROM perdure_pieces WHERE (ns, piece) = (SELECT ns, max(piece) FROM perdure_pieces"
            " WHERE ns = (SELECT ns FROM perdure_namespaces WHERE thread_id = 'one' AND checkpoint_ns = '')"
            " GROUP BY ns)"
        )
    found = verify(database).damage
    assert {one.thread_id for one in found} == {"one"}
    assert all("not in the store" in one.message for one in found)
    repair(database)
    assert verify(database).damage == []
    with open_saver(database) as saver:
        assert len(list(saver.list(place("one", None)))) < len(list(truth.list(place("one", None))))
        saver.delete_thread("one")
    # What is readable elsewhere comes back from there.
    assert migrate(truth, database, verify=True).differences == []
