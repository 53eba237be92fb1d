"""Opens the database of a command and finds threads and checkpoints in it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from perdure.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from perdure.checkpoint.registry import is_sqlite, open_saver, sqlite_path
from perdure.checkpoint.serde.jsonplus import JsonPlusSerializer
from perdure.checkpoint.serde.keys import encrypted_if_keys_are_set
from perdure.cli.exits import NotFoundError
from perdure.cli.options import DEFAULT_DB
from perdure.types import RunnableConfig

Saver = BaseCheckpointSaver[Any]

SCANNED = 10_000
"""Thread ids looked at for a suggestion."""


@contextmanager
def open_for_running(url: str | None) -> Iterator[Saver]:
    """Open the database for a graph to run on; it is made if it doesn't exist."""
    serde = encrypted_if_keys_are_set()
    with open_saver(url or DEFAULT_DB, **({} if serde is None else {"serde": serde})) as saver:
        yield saver


@contextmanager
def open_for_reading(url: str | None) -> Iterator[Saver]:
    """Open an existing database without the graph's code: unknown types are read as plain data.

    Raises:
        NotFoundError: There is no such file. (A command that reads must not make an empty one.)
    """
    url = url or DEFAULT_DB
    require_file(url, hint="--db URL or PERDURE_DB names another; `perdure run` makes one")
    with open_saver(url, serde=encrypted_if_keys_are_set(JsonPlusSerializer(unknown="data"))) as saver:
        yield saver


def require_file(url: str, hint: str | None = None) -> None:
    """Check that there is such a database, if it is a file.

    Raises:
        NotFoundError: There isn't.
    """
    path = sqlite_path(url) if is_sqlite(url) else ":memory:"
    if path != ":memory:" and not Path(path).exists():
        raise NotFoundError(f"there is no database {path}", hint=hint)


def config_of(thread_id: str, ns: str = "", checkpoint_id: str | None = None) -> RunnableConfig:
    """Return the config that addresses a thread's latest checkpoint, or the one given."""
    configurable = {"thread_id": thread_id, "checkpoint_ns": ns}
    if checkpoint_id is not None:
        configurable["checkpoint_id"] = checkpoint_id
    return {"configurable": configurable}


def id_of(found: CheckpointTuple) -> str:
    """Return the checkpoint's id."""
    return found.checkpoint["id"]


def thread_of(found: CheckpointTuple) -> str:
    """Return the id of the checkpoint's thread."""
    return str(found.config["configurable"]["thread_id"])


def require_thread(saver: Saver, thread_id: str, ns: str = "") -> None:
    """Check that there is such a thread, without reading its values.

    Raises:
        NotFoundError: There isn't; the hint lists threads with similar names.
    """
    if saver.get_head(thread_id, ns) is None:
        raise NotFoundError(
            f"there is no thread {thread_id!r}" + (f" with namespace {ns!r}" if ns else ""),
            hint=_near_threads(saver, thread_id),
        )


def latest(saver: Saver, thread_id: str, ns: str = "") -> CheckpointTuple:
    """Return the thread's latest checkpoint.

    Raises:
        NotFoundError: There is no such thread.
    """
    found = saver.get_tuple(config_of(thread_id, ns))
    if found is None:
        require_thread(saver, thread_id, ns)
        raise NotFoundError(f"thread {thread_id!r} was deleted just now")
    return found


def resolve(saver: Saver, ref: str, ns: str = "") -> CheckpointTuple:
    """Return the checkpoint that `ID`, `THREAD`, `THREAD@ID` or `THREAD@~N` means.

    Raises:
        NotFoundError: There is none.
    """
    thread_id, at, checkpoint_id = ref.rpartition("@")
    if at and checkpoint_id.startswith("~") and checkpoint_id[1:].isdigit():
        return _before_latest(saver, thread_id, ns, int(checkpoint_id[1:]))
    if at:
        found = saver.get_tuple(config_of(thread_id, ns, checkpoint_id))
        if found is not None:
            return found
    found = saver.get_tuple(config_of(ref, ns)) or _search(saver, ref, ns)
    if found is None:
        raise NotFoundError(f"there is no checkpoint or thread {ref!r}", hint=_near_threads(saver, thread_id or ref))
    return found


def _before_latest(saver: Saver, thread_id: str, ns: str, steps: int) -> CheckpointTuple:
    require_thread(saver, thread_id, ns)
    found = list(saver.list(config_of(thread_id, ns), limit=steps + 1))
    if len(found) <= steps:
        raise NotFoundError(f"thread {thread_id!r} has {len(found)} checkpoints, so there is no ~{steps}")
    return found[steps]


def _search(saver: Saver, checkpoint_id: str, ns: str) -> CheckpointTuple | None:
    # One indexed look-up a thread: an id alone doesn't say which thread is its own.
    for thread_id in saver.threads():
        found = saver.get_tuple(config_of(thread_id, ns, checkpoint_id))
        if found is not None:
            return found
    return None


def _near_threads(saver: Saver, name: str) -> str:
    known = list(islice(saver.threads(), SCANNED))
    if not known:
        return "the database has no threads"
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known[:3]
    return f"there is {', '.join(repr(thread) for thread in near)}; `perdure threads` lists all"
