"""Exit codes of the command line, and the errors that carry them."""

from __future__ import annotations

import enum

from perdure.errors import UsageError


class Exit(enum.IntEnum):
    """What a script can tell from `$?`."""

    OK = 0
    FAILED = 1
    """A node raised, or the storage did."""
    USAGE = 2
    """The command can't be understood: an argument, a graph's address, JSON, a URL."""
    NOT_FOUND = 3
    """The database has no such thread or checkpoint."""
    WAITING = 4
    """The graph stopped to ask; `perdure resume` brings the answer."""
    STOPPED = 130
    """Ctrl-C; everything finished so far is stored."""


class CommandError(UsageError):
    """The command can't be done as it was given."""

    exit_code: Exit = Exit.USAGE


class NotFoundError(CommandError):
    """The database has no such thread or checkpoint."""

    exit_code = Exit.NOT_FOUND
