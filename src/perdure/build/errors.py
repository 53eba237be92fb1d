"""The error of a build."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perdure.errors import UsageError


class BuildError(UsageError):
    """An image can't be built as it was asked for; nothing half-written is left."""


@contextmanager
def explained(place: Path) -> Iterator[None]:
    """Turn what the system says of writing below `place` into a `BuildError`."""
    try:
        yield
    except OSError as e:
        if e.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            hint = "make room, or name another place: --output KIND:PATH, --cache DIR; TMPDIR for what is in between"
            raise BuildError(f"no room to write {e.filename or place}: the disk is full", hint=hint) from e
        if e.errno in {errno.EACCES, errno.EROFS, errno.EPERM}:
            hint = "name a place that can be written: --output KIND:PATH, --cache DIR"
            raise BuildError(f"can't write {e.filename or place}: {e.strerror}", hint=hint) from e
        raise
