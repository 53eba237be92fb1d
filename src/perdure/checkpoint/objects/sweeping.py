"""How objects are found that no root names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from perdure.checkpoint.objects.roots import open_root
from perdure.database.objects.exchange import Exchange, Patience, ask, deletes, list_all, parts, read


def sweep(older_than: timedelta, retry_for: float) -> Exchange[int]:
    """Delete immutable objects that are old and that no root names; tell how many."""
    # First the objects, then the roots: what a root names by then is kept.
    before = datetime.now(UTC) - older_than
    listed = yield from list_all("d/", Patience(retry_for))
    gone = {one.key for one in listed if one.modified < before}
    if not gone:
        return 0
    roots = yield from list_all("t/", Patience(retry_for))
    for some in parts(roots):
        found = yield from read([one.key for one in some], Patience(retry_for))
        for root in [open_root(data, None) for data in found.values()]:
            gone.difference_update(root.object_keys() if root else ())
    if gone:
        yield from ask(deletes(sorted(gone)), Patience(retry_for))
    return len(gone)
