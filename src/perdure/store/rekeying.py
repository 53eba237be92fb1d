"""Items put under the current key, some at a time; what somebody has put meanwhile is left as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from perdure.checkpoint.sealing import Rekeyed
from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.database.operation import Op
from perdure.errors import UsageError

_SOME: Final = 100


def rekey_some(sql: Mapping[str, str], serde: SerializerProtocol, after: int) -> Op[tuple[Rekeyed, int | None]]:
    """Put the items behind a number under the current key; tell where to go on, None at the end.

    Raises:
        UsageError: The store has no keys.
        CorruptCheckpointError: An item can't be read.
    """
    renewed: Any = getattr(serde, "renewed", None)
    if renewed is None:
        raise UsageError("this store has no keys", hint="open it with serde=EncryptedSerializer.from_keys(...)")
    [rows] = yield [(sql["items_behind"], (after, _SOME))]
    changes = [
        (sql["change_value"], (*new, item, value))
        for item, kind, value in rows
        if (new := renewed((kind, value))) is not None
    ]
    if changes:
        yield changes
    return Rekeyed(len(changes), len(rows) - len(changes)), (rows[-1][0] if rows else None)
