"""From one database to another: threads with all their checkpoints, forks, namespaces and writes, and items."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from perdure.errors import UsageError
from perdure.ops.comparing import Difference, differences
from perdure.ops.items import copy_items
from perdure.ops.opening import Where, opened
from perdure.ops.progress import OnProgress, Tally, silent
from perdure.ops.reading import Saver, commits, outline
from perdure.ops.rules import set_rules
from perdure.ops.selecting import EVERYTHING, Selection
from perdure.ops.writing import store

__all__ = ["Migration", "migrate"]

_PAUSE: Final = 1.0
"""Seconds between two looks at a source in use."""


@dataclass
class Migration:
    """What a migration has done.

    Attributes:
        passes: How often the source was gone through.
        copied: What was written.
        items_left: Whether the source has a store and the target has none that could take its items.
        rules_left: Whether the source says how long threads are kept, holds included, and the target can't.
        compared: Checkpoints that were compared.
        differences: What isn't the same afterwards; empty unless `verify` was asked for.
    """

    passes: int = 0
    copied: Tally = field(default_factory=Tally)
    items_left: bool = False
    rules_left: bool = False
    compared: int = 0
    differences: list[Difference] = field(default_factory=list)


def migrate(
    source: Where,
    target: Where,
    *,
    selection: Selection = EVERYTHING,
    follow: bool = False,
    verify: bool = False,
    items: bool = True,
    encrypted_source: bool = False,
    encrypted_target: bool = False,
    channels: Mapping[str, Any] | None = None,
    on_progress: OnProgress = silent,
) -> Migration:
    """Copy what a database has to another, of any kind; the source may be in use.

    What the target has already isn't written again, and nothing of it is deleted: whoever was stopped does it again and
    goes on. At each moment each thread of the target is what it once was in the source. A checkpoint that was put
    anew under an id that the target has is not copied; `verify` names it.

    Args:
        source: A URL, a saver, or a `Database`. A database that has LangGraph's tables only is read as such.
        target: Another; `langgraph+` before its URL lets LangGraph read it.
        selection: Which checkpoints; all by default.
        follow: Whether to go through the source again until there is nothing new.
        verify: Whether to compare every checkpoint afterwards.
        items: Whether to copy the items of the store in the same database too.
        encrypted_source: Whether the values in the source are encrypted, with the key of the environment.
        encrypted_target: Whether those in the target are to be.
        channels: Those of the graph that made the threads, `graph.channels`; only a `DeltaChannel` needs them.
        on_progress: Is told how far it is.

    Raises:
        UsageError: Both are the same, or no saver is known for one.
        StorageError: The source can't be read, or the target can't be written.
        SerializationError: A value can't be read or written; names thread, checkpoint and channel.
    """
    if source is target or source == target:
        raise UsageError(f"source and target are the same: {source}", hint="name another target")
    done = Migration()
    into = opened(target, encrypted=encrypted_target, recognise=False, is_new=True)
    with opened(source, encrypted=encrypted_source, channels=channels) as one, into as other:
        done.rules_left = not _copy_rules(one.saver, other.saver, selection)
        while _copy_all(one.saver, other.saver, selection, done.copied, on_progress) or not done.passes:
            done.passes += 1
            done.rules_left = not _copy_rules(one.saver, other.saver, selection)
            if not follow:
                break
            time.sleep(_PAUSE if done.passes > 1 else 0)
        if items and one.store is not None:
            done.items_left = other.store is None
            if other.store is not None:
                copy_items(one.store, other.store, done.copied, on_progress)
        if verify:
            _verify(one.saver, other.saver, selection, done, on_progress)
    return done


def _copy_rules(source: Saver, target: Saver, selection: Selection) -> bool:
    """Copy how long threads are kept, before these come: a thread on hold is so from its first checkpoint on."""
    meant = None if selection.threads is None else set(selection.threads)
    found = [one for one in source.rules() if meant is None or one[0] in meant]
    done = [set_rules(target, *one) for one in found]
    return all(done)


def _copy_all(source: Saver, target: Saver, selection: Selection, tally: Tally, tell: OnProgress) -> bool:
    """Copy all threads; tell whether there was something new."""
    before = tally.checkpoints
    tally.threads = tally.present = tally.writes = 0
    for thread_id in selection.threads_of(source):
        copy_thread(source, target, thread_id, selection, tally, tell)
    return tally.checkpoints > before


def copy_thread(
    source: Saver, target: Saver, thread_id: str, selection: Selection, tally: Tally, tell: OnProgress
) -> None:
    """Copy what the target lacks of a thread."""
    meant = outline(source, thread_id, selection)
    known = set(outline(target, thread_id, Selection()).parents)
    tally.present += sum(place in known for place in meant.parents)
    store(target, commits(source, meant, known), tally, tell)
    tally.threads += 1
    tell(tally)


def _verify(source: Saver, target: Saver, selection: Selection, done: Migration, tell: OnProgress) -> None:
    for thread_id in selection.threads_of(source):
        meant = outline(source, thread_id, selection)
        found = list(differences(source, target, meant))
        if found:  # the source may have gone on meanwhile
            copy_thread(source, target, thread_id, selection, done.copied, tell)
            found = list(differences(source, target, meant))
        done.compared += len(meant.parents)
        done.differences += found
