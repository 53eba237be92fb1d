"""Whether everything that a database holds can be read, and what can be done where it can't."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from perdure.checkpoint.findings import Finding
from perdure.errors import UsageError
from perdure.ops.opening import Where, opened
from perdure.ops.progress import OnProgress, Tally, silent
from perdure.ops.reading import Saver
from perdure.ops.selecting import Selection

__all__ = ["Verification", "repair", "verify"]


@dataclass
class Verification:
    """What was looked at, and found.

    Attributes:
        threads: Threads that were looked at.
        findings: What isn't as it should be.
    """

    threads: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def damage(self) -> list[Finding]:
        """Those findings that say that something can't be read."""
        return [one for one in self.findings if one.kind.is_damage]


def verify(
    where: Where,
    *,
    threads: Sequence[str] | None = None,
    encrypted: bool = False,
    on_progress: OnProgress = silent,
) -> Verification:
    """Look at every checkpoint, and every piece, link and write of it; change nothing.

    Args:
        where: A URL, a saver, or a `Database`; it may be in use.
        threads: Only these; all by default.
        encrypted: Whether the values are encrypted, with the key of the environment.
        on_progress: Is told how far it is.

    Raises:
        StorageError: The database can't be read at all.
    """
    with opened(where, encrypted=encrypted) as database:
        return _each(database.saver, database.saver.check_thread, threads, on_progress)


def repair(
    where: Where,
    *,
    threads: Sequence[str] | None = None,
    encrypted: bool = False,
    on_progress: OnProgress = silent,
) -> Verification:
    """Remove what can't be read, and what nothing needs: see `Kind.remedy`. What can be read stays.

    Whole threads stay as they are, and each thread is repaired as a whole or not at all. Runs of a thread should be
    stopped first: one that goes on from a checkpoint that is removed gets `ConflictError`.

    Args:
        where: A URL, a saver, or a `Database`.
        threads: Only these; all by default.
        encrypted: Whether the values are encrypted. What fits its checksum and can't be decoded is never removed.
        on_progress: Is told how far it is.

    Returns:
        What was found before.

    Raises:
        UsageError: The saver can't be repaired.
        StorageError: The database can't be read or written.
    """
    with opened(where, encrypted=encrypted, recognise=False) as database:
        saver = database.saver
        try:
            return _each(saver, saver.repair_thread, threads, on_progress)
        except NotImplementedError as error:
            raise UsageError(
                f"{type(saver).__name__} can't be repaired",
                hint="`perdure migrate --thread ID` copies single threads that can be read",
            ) from error


def _each(
    saver: Saver, look: Callable[[str], Sequence[Finding]], threads: Sequence[str] | None, tell: OnProgress
) -> Verification:
    done = Verification()
    tally = Tally()
    for thread_id in Selection(threads).threads_of(saver):
        done.findings += look(thread_id)
        done.threads += 1
        tally.threads += 1
        tell(tally)
    return done
