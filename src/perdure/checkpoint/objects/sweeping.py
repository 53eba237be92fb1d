"""How objects are found that no root names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from perdure.checkpoint.objects.roots import open_root
from perdure.database.objects.exchange import PAGE, Delete, Exchange, Get, Missing, Patience, ask, list_all

_AT_ONCE = 32


def sweep(older_than: timedelta, retry_for: float) -> Exchange[int]:
    """Delete immutable objects that are old and that no root names; tell how many."""
    # First the objects, then the roots: what a root names by then is kept.
    before = datetime.now(UTC) - older_than
    listed = yield from list_all("d/", Patience(retry_for))
    old = {one.key for one in listed if one.modified < before}
    if not old:
        return 0
    roots = [one.key for one in (yield from list_all("t/", Patience(retry_for)))]
    for at in range(0, len(roots), _AT_ONCE):
        gets = [Get(key) for key in roots[at : at + _AT_ONCE]]
        for found in (yield from ask(gets, Patience(retry_for))):
            root = None if found is Missing else open_root(found.data, None)
            for space in root.spaces.values() if root else ():
                old.difference_update(space.keys())
    gone = sorted(old)
    for at in range(0, len(gone), PAGE):
        yield from ask([Delete(gone[at : at + PAGE])], Patience(retry_for))
    return len(gone)
