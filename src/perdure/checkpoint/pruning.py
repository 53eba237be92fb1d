"""Which checkpoints of a thread go when it is pruned: decided here for every saver, of what it knows of a namespace."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from perdure.checkpoint.ids import first_id
from perdure.errors import InvalidConfigError

__all__ = ["Pruned", "PruningRule", "oldest_kept", "pruning_of"]


class Pruned(NamedTuple):
    """What was pruned, or would be.

    Attributes:
        threads: Threads of which something goes.
        checkpoints: Checkpoints that go.
        bytes: What they take, and nothing else needs, as the saver stores it, without what a database adds; None: it
            wasn't measured.
    """

    threads: int = 0
    checkpoints: int = 0
    bytes: int | None = None

    def plus(self, other: Pruned) -> Pruned:
        """Return the sum."""
        both = self.bytes is not None and other.bytes is not None
        size = (self.bytes or 0) + (other.bytes or 0) if both else None
        return Pruned(self.threads + other.threads, self.checkpoints + other.checkpoints, size)


class PruningRule(NamedTuple):
    """What is kept of each namespace, and what of the rest goes.

    Attributes:
        deletes: Whether whole threads go, and no checkpoint by itself.
        before: Only what is below this id goes; None: age doesn't matter.
        last: So many of the newest checkpoints stay: at least the head.
        forks: Whether the tips of all branches stay: checkpoints that are no other's parent.
        filter: Only what has these metadata goes; empty: all.
    """

    deletes: bool
    before: str | None
    last: int
    forks: bool
    filter: Mapping[str, Any]

    def gone(self, tree: Sequence[tuple[str, str | None]], matches: Callable[[str], bool]) -> list[str]:
        """Return the ids that go, in ascending order.

        Args:
            tree: Each checkpoint of a namespace with its parent, in any order.
            matches: Tells of an id whether its metadata have what the filter asks for; called only for those that
                could go, and only if there is a filter.
        """
        ids = sorted(checkpoint_id for checkpoint_id, _ in tree)
        parents = {parent for _, parent in tree} if self.forks else None
        return [
            one
            for one in ids[: -self.last]
            if (self.before is None or one < self.before)
            and (parents is None or one in parents)
            and (not self.filter or matches(one))
        ]

    def is_orphan_gone(self, checkpoint_id: str, head: str) -> bool:
        """Tell whether writes go that are on top of a checkpoint that isn't there."""
        return not self.filter and checkpoint_id < head and (self.before is None or checkpoint_id < self.before)


def pruning_of(
    strategy: str,
    older_than: datetime | timedelta | None,
    keep_last: int,
    filter: Mapping[str, Any] | None,
    *,
    keep_forks: bool,
) -> PruningRule:
    """Check what is asked for.

    Raises:
        InvalidConfigError: There is no such strategy, or `delete` is to keep something, or it isn't a number or an age.
    """
    if strategy not in ("keep_latest", "delete"):
        raise InvalidConfigError(f"prune knows 'keep_latest' and 'delete', not {strategy!r}")
    if isinstance(keep_last, bool) or not isinstance(keep_last, int) or keep_last < 1:
        raise InvalidConfigError(
            f"keep_last must be 1 or more, not {keep_last!r}", hint="strategy='delete' keeps nothing of a thread"
        )
    deletes = strategy == "delete"
    if deletes and (keep_last != 1 or filter or keep_forks):
        raise InvalidConfigError(
            "prune by 'delete' takes whole threads, and keeps nothing of them",
            hint="keep_last, filter and keep_forks go with 'keep_latest'",
        )
    return PruningRule(deletes, oldest_kept(older_than), keep_last, keep_forks, dict(filter or {}))


def oldest_kept(older_than: datetime | timedelta | None) -> str | None:
    """Return the id below which checkpoints are older than a moment, or than so long ago; None: age doesn't matter.

    Raises:
        InvalidConfigError: It is neither.
    """
    if older_than is None:
        return None
    if isinstance(older_than, timedelta):
        older_than = datetime.now(UTC) - older_than
    if not isinstance(older_than, datetime):
        raise InvalidConfigError(f"older_than must be a datetime or a timedelta, not {older_than!r}")
    return first_id(older_than)
