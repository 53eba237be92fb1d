"""How often a run may be begun: what counts, and what doesn't."""

import pytest

from perdure.server.database import open_database, queues, runs

NEW = runs.NewRun(
    run_id="r", thread_id="t", assistant_id="a", graph_id="g", metadata={}, kwargs={}, strategy="enqueue", priority=0,
    delay=0.0, config={}, create_thread=True, holder=None, lease=9.0, watched=False, caller=None, thread_metadata={},
)  # fmt: skip


@pytest.mark.parametrize(("counts", "attempts"), [(True, [1, 2, 3, 4]), (False, [1, 1, 1, 1])])
async def test_a_run_that_is_given_back_by_a_worker_that_stops_has_lost_no_attempt(counts, attempts, tmp_path):
    database = open_database(f"sqlite:///{tmp_path}/own.db")
    await database.setup()
    await database.write(runs.create, NEW, None)
    seen = []
    for _ in attempts:
        [run] = (await database.write(queues.claim, "holder", 9.0, 1)).runs
        seen.append((run["attempt"], run["generation"]))
        assert await database.write(runs.put_back, run, 0.0, counts=counts)
    assert seen == list(zip(attempts, [1, 2, 3, 4], strict=True))
    await database.aclose()
