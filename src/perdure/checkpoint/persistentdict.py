"""A dict that is kept in a file; for a look at small things while debugging, for `SqliteSaver` is one file too."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from perdure.checkpoint.serde.jsonplus import JsonPlusSerializer
from perdure.errors import CorruptCheckpointError

_LINE = b"\n"


class PersistentDict(defaultdict[Any, Any]):
    """A `defaultdict` that `load` reads from a file, and `sync` and `close` write to it.

    The file holds data only, as every value that perdure stores: reading it runs no code.

    Args:
        args: As of `defaultdict`.
        filename: The file.
        kwargs: As of `defaultdict`.
    """

    def __init__(self, *args: Any, filename: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.filename = filename
        self._serde = JsonPlusSerializer()

    def load(self) -> None:
        """Add what is in the file.

        Raises:
            FileNotFoundError: It isn't there.
            CorruptCheckpointError: It is something else.
        """
        kind, line, data = Path(self.filename).read_bytes().partition(_LINE)
        found = self._serde.loads_typed((kind.decode("ascii", "replace"), data)) if line else None
        if not isinstance(found, dict):
            raise CorruptCheckpointError(f"{self.filename} holds no dict", hint="was it written by `sync`?")
        self.update(found)

    def sync(self) -> None:
        """Write the file anew: whoever reads it finds either the old or the new one, whole."""
        kind, data = self._serde.dumps_typed(dict(self))
        beside = Path(f"{self.filename}.new")
        with beside.open("wb") as file:
            file.write(kind.encode() + _LINE + data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.filename)

    def close(self) -> None:
        """Write the file and forget everything."""
        self.sync()
        self.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
