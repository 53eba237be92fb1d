"""What changed between two byte strings, as scripts: made, applied, composed. Pure, no I/O.

A script turns an old text into a new one, walking over the old one from left to right:

1. It is a list of hunks `keep, delete, insert`: keep so many bytes, leave out so many, insert so many of the
   script's literal bytes. What follows the last hunk is kept.
2. Scripts never move or repeat old bytes. So the result of any chain is at most as long as what is stored of it,
   and scripts compose into a script with no more literal bytes and no more hunks than its parts have together.
3. Finding a script is a guess at where the texts agree: whatever the guess, the script is right, and it costs at most
   the whole new text. Texts are compared, never identities: a value that was changed in place is seen.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple

from ormsgpack import packb, unpackb

from perdure.errors import CorruptCheckpointError
from perdure.tuples import build

_HUNK_WEIGHT = 16
_LONGEST_SLICE = 64 * 1024  # longer ones would be mapped and unmapped by malloc at every comparison
_MOST_HUNKS = 24
_ANCHOR = 24
_LEAST_MATCH = 40
COUNT: Final = 5
"""The bytes of msgpack's longest header of a list, a dict or a text: a marker and four bytes that count."""
_OFFSETS = (1, 4, 16, 64, 256, 1024, 4096, 16384)


class Script(NamedTuple):
    """How to make a new text of an old one.

    Attributes:
        size: The length of the old text.
        hunks: Flat triples of `keep, delete, insert`.
        literal: All inserted bytes, in order.
    """

    size: int
    hunks: Sequence[int]
    literal: bytes

    def weight(self) -> int:
        """Return about what the script costs to store and to apply, in bytes."""
        return len(self.literal) + _HUNK_WEIGHT * len(self.hunks) // 3

    def result_size(self) -> int:
        """Return the length of the new text."""
        return self.size - sum(self.hunks[1::3]) + len(self.literal)


def pack(script: Script, level: int) -> bytes:
    """Encode a script, together with its level in a chain."""
    return packb([level, script.size, script.hunks, script.literal])


def unpack(data: bytes) -> tuple[Script, int]:
    """Decode and check a script; return it and its level.

    Raises:
        CorruptCheckpointError: It isn't one, or reaches beyond what it has.
    """
    try:
        level, size, hunks, literal = unpackb(data)
    except (ValueError, TypeError) as e:
        raise CorruptCheckpointError("a stored delta is not a script") from e
    if not (_are_counts([level, size]) and isinstance(hunks, list) and isinstance(literal, bytes)):
        raise CorruptCheckpointError("a stored delta is not a script")
    if not _are_counts(hunks) or len(hunks) % 3:
        raise CorruptCheckpointError("a stored delta has hunks that are not triples of counts")
    if sum(hunks[0::3]) + sum(hunks[1::3]) > size or sum(hunks[2::3]) != len(literal):
        raise CorruptCheckpointError("a stored delta reaches beyond its texts")
    return Script(size, hunks, literal), level


def _are_counts(numbers: list[Any]) -> bool:
    return all(type(n) is int for n in numbers) and (not numbers or min(numbers) >= 0)


# -- applying and composing: a text is a rope of (source, start, stop), copied once at the end

_Rope = list[tuple[Any, int, int]]


def apply(old: bytes, *scripts: Script) -> bytes:
    """Apply scripts one after the other.

    Raises:
        CorruptCheckpointError: One was made for a text of another length.
    """
    if not scripts:
        return old
    rope = _spliced([(old, 0, len(old))], len(old), scripts)
    return b"".join([source[start:stop] for source, start, stop in rope])


def compose(first: Script, *others: Script) -> Script:
    """Make one script that does what several do one after the other.

    Raises:
        CorruptCheckpointError: They don't follow each other.
    """
    if others and (grown := _grown_together((first, *others))) is not None:
        return grown
    # The old text stands for itself: only ranges of it are needed.
    rope = _spliced([(None, 0, first.size)], first.size, (first, *others))
    return _as_script(rope, first.size)


def _grown_together(scripts: Sequence[Script]) -> Script | None:
    """Compose scripts of values that only grew, as most do, without walking over them; None: others are among them."""
    begin = size = scripts[0].size
    for script in scripts:
        hunks = script.hunks
        if script.size != size or len(hunks) != 6 or (*hunks[:3], *hunks[4:5]) != (0, COUNT, COUNT, 0):
            return None
        if hunks[3] != size - COUNT:
            return None
        size += hunks[5]
    literal = scripts[-1].literal[:COUNT] + b"".join([script.literal[COUNT:] for script in scripts])
    return Script(begin, (0, COUNT, COUNT, begin - COUNT, 0, size - begin), literal)


def _spliced(rope: _Rope, size: int, scripts: Iterable[Script]) -> _Rope:
    for script in scripts:
        if script.size != size:
            msg = f"a delta was made for {script.size} bytes, there are {size}"
            raise CorruptCheckpointError(msg)
        rope = _splice(rope, script)
        size = script.result_size()
    return rope


def _splice(rope: _Rope, script: Script) -> _Rope:
    ends = list(accumulate([stop - start for _, start, stop in rope]))
    literal = script.literal
    out: _Rope = []
    at = used = 0
    hunks = iter(script.hunks)
    for keep, delete, insert in zip(hunks, hunks, hunks, strict=True):
        if keep:
            _copy(rope, ends, at, at + keep, out)
        at += keep + delete
        if insert:
            out.append((literal, used, used + insert))
            used += insert
    if at < script.size:
        _copy(rope, ends, at, script.size, out)
    return out


def _copy(rope: _Rope, ends: list[int], start: int, stop: int, out: _Rope) -> None:
    """Append a range of a rope's text to another rope."""
    first = bisect_right(ends, start)
    last = bisect_left(ends, stop)
    source, _, end = rope[first]
    begin = end - (ends[first] - start)
    if first == last:
        out.append((source, begin, begin + stop - start))
        return
    out.append((source, begin, end))
    out += rope[first + 1 : last]
    source, _, end = rope[last]
    out.append((source, rope[last][1], end - (ends[last] - stop)))


def _as_script(rope: _Rope, size: int) -> Script:
    hunks: list[int] = []
    parts: list[bytes] = []
    at = keep = delete = insert = 0
    for source, start, stop in rope:
        if source is not None:
            parts.append(source[start:stop])
            insert += stop - start
            continue
        delete += start - at
        if delete or insert:
            hunks += keep, delete, insert
            keep = delete = insert = 0
        keep += stop - start
        at = stop
    if insert or at < size:
        hunks += keep, delete + size - at, insert
    return Script(size, hunks, b"".join(parts))


# -- finding


def diff(old: bytes, new: bytes) -> Script:
    """Find a script from one text to another; without hunks if they are equal."""
    return growth(old, new) if is_growth(old, new) else difference(old, new)


def difference(old: bytes, new: bytes) -> Script:
    """Find a script between texts of which neither is the other's beginning."""
    shorter = min(len(old), len(new))
    i = j = keep = _common_prefix(old, new, 0, 0, shorter)
    if keep == len(old) == len(new):
        return Script(len(old), [], b"")
    tail = _common_suffix(old, new, shorter - keep)
    old_end, new_end = len(old) - tail, len(new) - tail
    hunks: list[int] = []
    parts: list[bytes] = []
    while i < old_end and j < new_end and len(hunks) < 3 * _MOST_HUNKS:
        found = _resync(old, new, i, j, old_end, new_end)
        if found is None:
            break
        next_i, next_j, length = found
        hunks += keep, next_i - i, next_j - j
        parts.append(new[j:next_j])
        i, j, keep = next_i + length, next_j + length, length
    if i < old_end or j < new_end:
        hunks += keep, old_end - i, new_end - j
        parts.append(new[j:new_end])
    return Script(len(old), hunks, b"".join(parts))


def is_growth(old: bytes, new: bytes) -> bool:
    """Tell whether a list, a text or a dict has grown at its end only: then the texts agree after `COUNT` bytes.

    By far the most frequent change, so it is looked for first; and the end first of all, where others differ mostly.
    """
    size = len(old)
    return (
        COUNT + _ANCHOR < size < len(new)
        and new.startswith(old[-_ANCHOR:], size - _ANCHOR)
        and new.startswith(memoryview(old)[COUNT:], COUNT)  # a slice would be a copy
    )


def growth(old: bytes, new: bytes) -> Script:
    """Make the script of a value that grew: its first bytes anew, which count, and what follows the old text."""
    size = len(old)
    hunks = (0, COUNT, COUNT, size - COUNT, 0, len(new) - size)
    return build(Script, (size, hunks, new[:COUNT] + new[size:]))


def _resync(old: bytes, new: bytes, i: int, j: int, old_end: int, new_end: int) -> tuple[int, int, int] | None:
    """Find where two texts agree again: positions in both, and for how long.

    Anchors are taken ever farther away, and looked for the wider the farther they are: near agreement is found first,
    and the work stays in proportion.
    """
    for offset in _OFFSETS:
        reach = 64 * offset + 1024
        at = i + offset
        if at + _ANCHOR <= old_end:
            found = new.find(old[at : at + _ANCHOR], j, min(new_end, j + reach))
            if found >= 0 and (match := _grown(old, new, at, found, (i, j, old_end, new_end))):
                return match
        at = j + offset
        if at + _ANCHOR <= new_end:
            found = old.find(new[at : at + _ANCHOR], i, min(old_end, i + reach))
            if found >= 0 and (match := _grown(old, new, found, at, (i, j, old_end, new_end))):
                return match
    return None


def _grown(old: bytes, new: bytes, at: int, to: int, bounds: tuple[int, int, int, int]) -> tuple[int, int, int] | None:
    """Extend a match to both sides; None if it stays too short to be worth a hunk."""
    i, j, old_end, new_end = bounds
    length = _common_prefix(old, new, at, to, min(old_end - at, new_end - to))
    while at > i and to > j and old[at - 1] == new[to - 1]:
        at, to, length = at - 1, to - 1, length + 1
    return (at, to, length) if length >= _LEAST_MATCH else None


def _common_prefix(old: bytes, new: bytes, i: int, j: int, most: int) -> int:
    """Return for how long two texts agree from these positions on."""
    same, step = 0, 64
    while same < most:
        step = min(step, most - same)
        if not new.startswith(old[i + same : i + same + step], j + same):
            return same + _first_difference(old, new, i + same, j + same, step)
        same += step
        step = min(step * 8, _LONGEST_SLICE)
    return most


def _first_difference(old: bytes, new: bytes, i: int, j: int, size: int) -> int:
    low = 0  # the texts agree up to here, and differ within `size`
    while size > low + 1:
        middle = (low + size) // 2
        if new.startswith(old[i + low : i + middle], j + low):
            low = middle
        else:
            size = middle
    return low


def _common_suffix(old: bytes, new: bytes, most: int) -> int:
    """Return for how long two texts agree at their ends."""
    same, step = 0, 64
    i, j = len(old), len(new)
    while same < most:
        step = min(step, most - same)
        if not new.endswith(old[i - same - step : i - same], 0, j - same):
            return same + _last_difference(old, new, i - same, j - same, step)
        same += step
        step = min(step * 8, _LONGEST_SLICE)
    return most


def _last_difference(old: bytes, new: bytes, i: int, j: int, size: int) -> int:
    low = 0
    while size > low + 1:
        middle = (low + size) // 2
        if new.endswith(old[i - middle : i - low], 0, j - low):
            low = middle
        else:
            size = middle
    return low
