"""An operation that reads what is stored of a thread, as it is stored."""

from __future__ import annotations

from typing import Final

from perdure.checkpoint.tables.dialect import Dialect
from perdure.database.operation import Op

_AT_ONCE: Final = 500


def stored_of(dialect: Dialect, thread_id: str) -> Op[list[bytes]]:
    """Return the frames of a thread's records, writes and pieces, and the ids of its checkpoints and tasks."""
    [spaces] = yield [(dialect.sql["namespaces_of_thread"], (thread_id,))]
    found: list[bytes] = []
    for ns, _ in spaces:
        names = ("records_of_namespace", "writes_of_namespace", "pieces_of_namespace")
        records, writes, numbers = yield [(dialect.sql[name], (ns,)) for name in names]
        for checkpoint_id, _, _, frame, *_ in records:
            found += (checkpoint_id.encode("utf-8", "surrogatepass"), bytes(frame))
        for _, task_id, _, data in writes:
            found += (task_id.encode("utf-8", "surrogatepass"), bytes(data))
        for at in range(0, len(numbers), _AT_ONCE):
            asked = [(ns, number) for (number,) in numbers[at : at + _AT_ONCE]]
            [rows] = yield [dialect.asking_pieces(asked)]
            found += [bytes(frame) for _, _, frame in rows]
    return found
