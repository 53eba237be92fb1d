"""LangGraph's own SQLite and Postgres databases, as savers of perdure: threads move from there, and back.

1. Its values (`Interrupt`, `Send`, `Command`, `Overwrite`) become perdure's on the way, and its own on the way back.
2. Only types that are registered here are made of stored bytes, and those that its serializer holds to be safe. Nothing
   is imported that a database names.
3. A `DeltaChannel` isn't stored at each checkpoint there. Its value is made of its last snapshot and the writes since,
   by its reducer: so the graph's channels are needed where one is used. The checkpoints here have all values.
4. Ids of tasks are made alike, see `perdure.pregel.task.planned_id`: so a thread goes on amid a superstep, with the
   questions that are open, the answers that tasks have got, and what others have finished. Errors stay behind: their
   tasks run again anyway. So does an answer that no task has taken yet, on the way back: it is for one question here,
   and would be for the next one there.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final

from xxhash import xxh3_64_intdigest

try:
    from langgraph import types as theirs
    from langgraph.checkpoint.serde.event_hooks import register_serde_event_listener
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer as TheirSerializer
    from langgraph.checkpoint.serde.types import _DeltaSnapshot
except ImportError as missing:
    raise ModuleNotFoundError(
        "LangGraph's databases are read with its own package: "
        "pip install langgraph langgraph-checkpoint-sqlite langgraph-checkpoint-postgres",
        name=missing.name,
    ) from missing

from perdure import types as ours
from perdure.checkpoint.adopted import AdoptedSaver
from perdure.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple
from perdure.checkpoint.registry import is_sqlite, sqlite_path
from perdure.checkpoint.serde.registry import default_registry
from perdure.checkpoint.serde.stored import StoredError, UnknownValue
from perdure.checkpoint.serde.types import ERROR, RESUME, SCHEDULED, is_addressed
from perdure.constants import NULL_TASK_ID, TASKS
from perdure.errors import CorruptCheckpointError, PerdureError, UnknownTypeError, UsageError
from perdure.types import RunnableConfig

__all__ = ["LangGraphDatabase", "open_database"]

_PAGE: Final = 16
_COUNTERS: Final = "counters_since_delta_snapshot"
"""The key of a checkpoint's metadata that names the channels that aren't stored at each checkpoint."""


class LangGraphDatabase(AdoptedSaver):
    """A saver of LangGraph's, read and written in perdure's types.

    Args:
        inner: The saver.
        channels: The channels of the graph that made the threads, by name: those that are a `DeltaChannel` are needed.
        thread_ids: Reads the ids of its threads, in ascending order.
    """

    def __init__(self, inner: Any, channels: Mapping[str, Any], thread_ids: Callable[[], Sequence[str]]) -> None:
        super().__init__(inner)
        self._channels = channels
        self._thread_ids = thread_ids

    @staticmethod
    def leaves_out(task_id: str, channel: str, value: Any) -> bool:
        """Tell whether a pending write isn't moved: an error, or an answer to a question that it names."""
        return channel in (ERROR, SCHEDULED) or (task_id == NULL_TASK_ID and channel == RESUME and is_addressed(value))

    def threads(self, *, limit: int | None = None, after: str | None = None) -> Iterator[str]:
        found = (thread_id for thread_id in self._thread_ids() if after is None or thread_id > after)
        return iter(list(found)[:limit])

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        with _reading():
            found = self.inner.get_tuple(config)
        return None if found is None else self._own(found)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        left = limit
        while left is None or left > 0:
            # A page at a time: its saver holds a lock for as long as it is walked over.
            size = _PAGE if left is None else min(left, _PAGE)
            with _reading():
                found = list(self.inner.list(config, filter=filter, before=before, limit=size))
            page = found if len(found) < size else _without_last_id(found)
            yield from map(self._own, page)
            if len(found) < size:
                return
            before = page[-1].config
            left = None if left is None else left - len(page)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        values = _their(checkpoint["channel_values"], checkpoint["id"])
        versions = {
            name: self._their_version(version, values[name]) if name in values else _text_of(version)
            for name, version in checkpoint["channel_versions"].items()
        }
        seen = _seen(
            checkpoint, lambda name, v: versions[name] if v == checkpoint["channel_versions"].get(name) else _text_of(v)
        )
        made: Any = {**checkpoint, "channel_values": values, "channel_versions": versions, "versions_seen": seen}
        # All of them: where it keeps values by their versions, it writes those that it doesn't have.
        return super().put(config, made, _their(metadata, checkpoint["id"]), versions)

    def _their_version(self, version: Any, value: Any) -> Any:
        """Write a version as theirs. Branches here count alike, and there a version names one value of the thread."""
        if not isinstance(version, int):
            return version
        _, data = self.inner.serde.dumps_typed(value)
        return _text_of(version, xxh3_64_intdigest(data) % 10**16)

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        where = config["configurable"]["checkpoint_id"]
        moved = [(name, _their(value, where)) for name, value in writes if not self.leaves_out(task_id, name, value)]
        super().put_writes(config, moved, task_id, task_path)

    def _own(self, found: Any) -> CheckpointTuple:
        """Return a tuple in perdure's types, with the values of all channels."""
        one = CheckpointTuple(*found)
        metadata: Any = dict(one.metadata)
        counted = metadata.pop(_COUNTERS, {})
        versions, values = one.checkpoint["channel_versions"], _our(one.checkpoint["channel_values"])
        missing = [name for name in counted if name in versions and name not in values]
        if missing:
            values |= self._replayed(one.config, missing)
        writes = [
            (task_id, name, _our(value))
            for task_id, name, value in one.pending_writes or ()
            if not self.leaves_out(task_id, name, value)
        ]
        versions = {name: _number_of(version) for name, version in one.checkpoint["channel_versions"].items()}
        seen = _seen(one.checkpoint, lambda _, version: _number_of(version))
        checkpoint: Any = {"updated_channels": None, **one.checkpoint, "channel_values": values}
        checkpoint |= {"channel_versions": versions, "versions_seen": seen}
        _move_sends(checkpoint, _our(checkpoint.pop("pending_sends", [])))
        return one._replace(checkpoint=checkpoint, metadata=metadata, pending_writes=writes)

    def _replayed(self, config: Any, names: Sequence[str]) -> dict[str, Any]:
        """Make the values of channels that aren't stored with a checkpoint, as LangGraph makes them."""
        unknown = [name for name in names if not hasattr(self._channels.get(name), "replay_writes")]
        if unknown:
            thread_id, checkpoint_id = (config["configurable"][key] for key in ("thread_id", "checkpoint_id"))
            raise UsageError(
                f"thread {thread_id!r}, checkpoint {checkpoint_id}: channel {unknown[0]!r} is a DeltaChannel, "
                "whose value is made by its reducer",
                hint="say which graph has it: --graph path/to/file.py:name, or channels=graph.channels",
            )
        with _reading():
            found = self.inner.get_delta_channel_history(config=config, channels=list(names))
        made: dict[str, Any] = {}
        for name in names:
            seed = found[name].get("seed", _DeltaSnapshot(self._channels[name].typ()))
            channel = self._channels[name].from_checkpoint(seed)
            channel.replay_writes(found[name]["writes"])
            made[name] = _our(channel.value)
        return made


def _without_last_id(found: list[Any]) -> list[Any]:
    """Leave out the checkpoints of the last id: those of another namespace with the same one may be cut off."""
    last = _id_of(found[-1])
    return [one for one in found if _id_of(one) != last] or found


def _id_of(found: Any) -> Any:
    return found.config["configurable"]["checkpoint_id"]


def _move_sends(checkpoint: Checkpoint, sends: Sequence[Any]) -> None:
    """Put what old versions of a checkpoint held beside the channels into their channel, where newer ones have it."""
    if sends:
        values, versions = checkpoint["channel_values"], checkpoint["channel_versions"]
        values[TASKS] = [*values.get(TASKS, ()), *sends]
        checkpoint["channel_versions"] = {TASKS: max(versions.values()), **versions}


# -- versions: numbers here; there texts of a number and of what tells branches apart, and the two can't be compared


_TEXT: Final = re.compile("([0-9]{32})[.].+")


def _text_of(version: Any, apart: int = 0) -> Any:
    return f"{version:032}.{apart:016}" if isinstance(version, int) else version


def _number_of(version: Any) -> Any:
    number = _TEXT.fullmatch(version) if isinstance(version, str) else None
    return int(number[1]) if number else version


def _seen(checkpoint: Checkpoint, turn: Callable[[str, Any], Any]) -> dict[str, ChannelVersions]:
    """Return the versions that nodes have seen, turned by channel and version."""
    seen = checkpoint["versions_seen"]
    return {node: {name: turn(name, version) for name, version in each.items()} for node, each in seen.items()}


# -- values


def _our(value: Any) -> Any:
    """Turn LangGraph's own values into perdure's, also those in lists, tuples and dicts."""
    match value:
        case _DeltaSnapshot():
            return _our(value.value)
        case theirs.Interrupt():
            return ours.Interrupt(_our(value.value), id=value.id, response_schema=value.response_schema)
        case theirs.Send():
            return ours.Send(value.node, _our(value.arg))
        case theirs.Overwrite():
            return ours.Overwrite(_our(value.value))
        case theirs.Command():
            return ours.Command(**{name: _our(getattr(value, name)) for name in _COMMAND})
    return _within(value, _our)


_COMMAND: Final = ("graph", "update", "resume", "goto")


def _their(value: Any, where: str) -> Any:
    """Turn perdure's own values into LangGraph's.

    Raises:
        UnknownTypeError: There is a value whose type isn't registered here, so LangGraph couldn't store it.
    """

    def turn(value: Any) -> Any:
        match value:
            case ours.Interrupt():
                return theirs.Interrupt(turn(value.value), id=value.id, response_schema=value.response_schema)
            case ours.Send():
                return theirs.Send(value.node, turn(value.arg))
            case ours.Overwrite():
                return theirs.Overwrite(turn(value.value))
            case ours.Command():
                return theirs.Command(**{name: turn(getattr(value, name)) for name in _COMMAND})
            case StoredError():
                return Exception(str(value))
            case UnknownValue():
                raise _unknown(value.type_name, f"checkpoint {where}")
        return _within(value, turn)

    return turn(value)


def _within(value: Any, turn: Callable[[Any], Any]) -> Any:
    if type(value) is list:
        return [turn(item) for item in value]
    if type(value) is tuple:
        return tuple([turn(item) for item in value])
    if type(value) is dict:
        return {key: turn(item) for key, item in value.items()}
    return value


# -- what may be made of stored bytes


class _Mine(threading.local):
    refused: list[str] | None = None


_mine: Final = _Mine()


def _note_refused(event: Any) -> None:
    if _mine.refused is not None and event["kind"].endswith("blocked"):
        _mine.refused.append(f"{event['module']}:{event['name']}")


register_serde_event_listener(_note_refused)


@contextmanager
def _reading() -> Iterator[None]:
    """Refuse what holds a type that isn't registered; LangGraph's serializer would give its parts in its place."""
    _mine.refused = []
    try:
        yield
        refused = _mine.refused
    except (PerdureError, StopIteration):
        raise
    except Exception as error:
        raise CorruptCheckpointError(f"a checkpoint of LangGraph's can't be read: {error!r}") from error
    finally:
        _mine.refused = None
    if refused:
        raise _unknown(refused[0], "the database")


def _unknown(type_name: str, where: str) -> UnknownTypeError:
    return UnknownTypeError(
        f"{where} has a value of type {type_name}, which isn't registered here",
        hint="--graph path/to/file.py:name registers the types of its state; or perdure.checkpoint.serde.register(cls)",
    )


def _serializer() -> Any:
    names = [tuple(name.split(":", 1)) for name in default_registry.names() if ":" in name]
    return TheirSerializer(allowed_msgpack_modules=names, pickle_fallback=False)


# -- opening


@contextmanager
def open_database(url: str, channels: Mapping[str, Any] | None = None) -> Iterator[LangGraphDatabase]:
    """Open a database of LangGraph's; its tables are made if they aren't there.

    Args:
        url: `sqlite:///path`, the path of a file, or `postgresql://...`.
        channels: The channels of the graph that made its threads: `graph.channels`.

    Raises:
        ModuleNotFoundError: Its package for such databases isn't installed.
        UsageError: There is none for such databases.
    """
    if is_sqlite(url):
        opening = _open_sqlite(sqlite_path(url), channels or {})
    elif url.startswith(("postgres:", "postgresql:")):
        opening = _open_postgres(url, channels or {})
    else:
        raise UsageError(f"LangGraph keeps no checkpoints in {url!r}", hint="sqlite:///path or postgresql://...")
    with opening as saver:
        yield saver


@contextmanager
def _open_sqlite(path: str, channels: Mapping[str, Any]) -> Iterator[LangGraphDatabase]:
    from langgraph.checkpoint.sqlite import SqliteSaver

    with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        saver = SqliteSaver(connection, serde=_serializer())
        saver.setup()

        def thread_ids() -> list[str]:
            return [row[0] for row in connection.execute(_THREADS)]

        yield LangGraphDatabase(saver, channels, thread_ids)


@contextmanager
def _open_postgres(url: str, channels: Mapping[str, Any]) -> Iterator[LangGraphDatabase]:
    import psycopg
    from langgraph.checkpoint.postgres import PostgresSaver
    from psycopg.rows import dict_row

    as_dicts: Any = dict_row
    with psycopg.connect(url, autocommit=True, prepare_threshold=0, row_factory=as_dicts) as connection:
        opened: Any = connection
        saver = PostgresSaver(opened, serde=_serializer())
        saver.setup()

        def thread_ids() -> list[str]:
            return sorted(row["thread_id"] for row in opened.execute(_THREADS))

        yield LangGraphDatabase(saver, channels, thread_ids)


_THREADS: Final = "SELECT DISTINCT thread_id FROM checkpoints ORDER BY thread_id"
