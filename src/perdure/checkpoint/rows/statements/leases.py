"""Statements about leases, which the backend does as they are asked, whatever a view has changed."""

from __future__ import annotations

from perdure.checkpoint.base import Lease
from perdure.checkpoint.rows.answering import answers
from perdure.checkpoint.rows.view import Reading, View


@answers
def lease(view: View, thread_id: str) -> Reading:
    believed = view.thread(thread_id).lease
    if view.beliefs is not None and believed is not None:
        return [(believed.holder, believed.generation, 0, 0)]
    held = yield from view.backend.lease(thread_id)
    return [] if held is None else [(held.holder, held.generation, 0, held.stop)]


@answers
def renew_lease(view: View, seconds: float, thread_id: str, holder: str, generation: int) -> Reading:
    stop = yield from view.backend.renew(Lease(thread_id, holder, generation), seconds)
    return [] if stop is None else [(stop,)]


@answers
def release_lease(view: View, thread_id: str, holder: str, generation: int) -> Reading:
    yield from view.backend.release(Lease(thread_id, holder, generation))
    return []


@answers
def request_stop(view: View, thread_id: str) -> Reading:
    yield from view.backend.request_stop(thread_id)
    return []
