"""Whether two databases have the same checkpoints, in meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from perdure.checkpoint.base import CheckpointTuple
from perdure.checkpoint.serde.jsonplus import JsonPlusSerializer
from perdure.errors import SerializationError
from perdure.ops.reading import Outline, Saver, by_task, parent_id, place_of, read

__all__ = ["Difference"]


class Difference(NamedTuple):
    """Something that two databases don't have in common.

    Attributes:
        thread_id: The thread.
        checkpoint_ns: The namespace in it.
        checkpoint_id: The checkpoint.
        what: `missing`, `parent`, `metadata`, `pending writes`, `channel NAME`, or a field of the checkpoint.
    """

    thread_id: str
    checkpoint_ns: str
    checkpoint_id: str
    what: str


_ENCODER: Final = JsonPlusSerializer(unknown="data")
_NOTHING: Final = object()


def differences(source: Saver, target: Saver, meant: Outline) -> Iterator[Difference]:
    """Compare every checkpoint of a thread; what is gone from the source by now isn't compared."""
    rules = [rule for saver in (source, target) if (rule := getattr(saver, "leaves_out", None)) is not None]
    places = list(meant.parents)
    held = iter(read(target, meant.thread_id, places))
    other = next(held, None)
    for one in read(source, meant.thread_id, places):
        place = place_of(one.config)
        while other is not None and place_of(other.config) < place:
            other = next(held, None)
        where = (meant.thread_id, place.checkpoint_ns, place.checkpoint_id)
        if other is None or place_of(other.config) != place:
            yield Difference(*where, "missing")
            continue
        yield from (Difference(*where, what) for what in _unlike(one.open(), other.open(), rules))


Rule = Callable[[str, str, Any], bool]
"""Whether a pending write, of a task, a channel and a value, isn't moved."""


def _unlike(one: CheckpointTuple, other: CheckpointTuple, rules: Sequence[Rule]) -> Iterator[str]:
    """Name what differs between two tuples of the same checkpoint."""
    if parent_id(one) != parent_id(other):
        yield "parent"
    if not same(one.metadata, other.metadata):
        yield "metadata"
    if not same(_writes(one, rules), _writes(other, rules)):
        yield "pending writes"
    here, there = dict(one.checkpoint), dict(other.checkpoint)
    yield from (f"channel {name!r}" for name in _differing(here.pop("channel_values"), there.pop("channel_values")))
    yield from _differing(here, there)


def _differing(one: Any, other: Any) -> list[str]:
    return [name for name in sorted({*one, *other}) if not same(one.get(name, _NOTHING), other.get(name, _NOTHING))]


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are the same in meaning: equal as they are stored, or equal to Python."""
    if one is _NOTHING or other is _NOTHING:
        return one is other
    try:
        if _ENCODER.dumps_plain(one) == _ENCODER.dumps_plain(other):
            return True
    except SerializationError:
        pass
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, (list, tuple)) and type(one) is type(other):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


def _writes(found: CheckpointTuple, rules: Sequence[Rule]) -> dict[str, Any]:
    pending = [one for one in found.pending_writes or () if not any(rule(*one) for rule in rules)]
    return {task.task_id: list(task.writes) for task in by_task(pending)}
