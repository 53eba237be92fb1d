"""A hold that is set while others delete: what is there once it is set stays there."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from perdure.checkpoint.conformance.case import checkpoint, place
from perdure.checkpoint.registry import open_saver
from perdure.errors import ThreadHeldError

ROUNDS = {"s3": 3}  # or 12


def _url(kind, request, tmp_path):
    if kind == "sqlite":
        return f"sqlite:///{tmp_path}/holds.db"
    if kind == "redis":
        return request.getfixturevalue("empty_valkey").url
    return request.getfixturevalue({"postgres": "database", "s3": "bucket"}[kind])


DELETIONS = {
    "delete_thread": lambda saver, thread: saver.delete_thread(thread),
    "prune": lambda saver, thread: saver.prune([thread]),
    "expire": lambda saver, thread: saver.prune([thread], strategy="delete", older_than=timedelta(0)),
    "delete_for_runs": lambda saver, thread: saver.delete_for_runs([f"run of {thread}"]),
}


def _make(saver, thread):
    config = place(thread)
    for n in range(3):
        made = checkpoint({"x": n}, {"x": n + 1}, after=config["configurable"].get("checkpoint_id"))
        config = saver.put(config, made, {"run_id": f"run of {thread}"}, {"x": n + 1})


def _ids(saver, thread):
    return [one.config["configurable"]["checkpoint_id"] for one in saver.list({"configurable": {"thread_id": thread}})]


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "redis", "s3"])
def test_a_hold_is_never_missed(kind, request, tmp_path):
    url = _url(kind, request, tmp_path)
    with open_saver(url) as holder, open_saver(url) as deleter:
        for n in range(ROUNDS.get(kind, 12)):
            for name, delete in DELETIONS.items():
                thread = f"{name} {n}"
                _make(holder, thread)
                together = threading.Barrier(2)
                refused = []

                def deletes(delete=delete, thread=thread, together=together, refused=refused):
                    together.wait()
                    try:
                        delete(deleter, thread)
                    except ThreadHeldError as error:
                        refused.append(error)

                other = threading.Thread(target=deletes)
                other.start()
                together.wait()
                holder.keep(thread, hold="case 12")
                seen = _ids(holder, thread)
                other.join()
                assert _ids(holder, thread) == seen
                if (kind, name) != ("s3", "delete_thread"):  # which takes the object of a thread that it has emptied
                    assert holder.rules_of(thread).hold == "case 12"
                assert len(seen) == 3 or not refused


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "redis", "s3"])
def test_rules_that_are_set_at_once_are_both_kept(kind, request, tmp_path):
    url = _url(kind, request, tmp_path)
    with open_saver(url) as one, open_saver(url) as other:
        for n in range(ROUNDS.get(kind, 12)):
            setting = threading.Thread(target=one.keep, args=(f"t{n}",), kwargs={"hold": "case 12"})
            setting.start()
            other.keep(f"t{n}", ttl=timedelta(days=1))
            setting.join()
            assert tuple(one.rules_of(f"t{n}")) == (timedelta(days=1), "case 12")
