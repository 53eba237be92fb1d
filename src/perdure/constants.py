"""Names that graphs, configs and checkpoints share."""

from __future__ import annotations

from sys import intern
from typing import Final

from perdure.checkpoint.serde.types import ERROR, INTERRUPT, RESUME, TASKS

__all__ = ["CONF", "END", "START", "TAG_HIDDEN", "TAG_NOSTREAM", "TASKS"]

START = intern("__start__")
"""The node before the first one; also the channel that receives a run's input."""

END = intern("__end__")
"""The node after the last one."""

TAG_HIDDEN = intern("langsmith:hidden")
"""Keeps a node or edge out of drawings and streams; the value is the one that tools know."""

TAG_NOSTREAM = intern("nostream")
"""Keeps a chat model's tokens out of the stream mode `messages`."""

CONF: Final = "configurable"

# Reserved channels of pending writes (with ERROR, INTERRUPT, RESUME, TASKS)
NO_WRITES = "__no_writes__"
RETURN = "__return__"
PREVIOUS = "__previous__"
INPUT = "__input__"
COPY = "__copy__"

CONTROL_WRITES = frozenset({ERROR, INTERRUPT, RESUME})
"""Writes that don't mean that their task is finished."""

RESERVED_WRITES = frozenset({ERROR, INTERRUPT, RESUME, NO_WRITES, RETURN})
"""Writes that no channel receives."""

NULL_TASK_ID = "00000000-0000-0000-0000-000000000000"
"""The task id of writes that come from the caller's `Command`."""

PULL = "__pregel_pull"
PUSH = "__pregel_push"

NS_SEP = "|"
"""Separates the levels of a checkpoint namespace."""

NS_END = ":"
"""Separates a node's name from its task id within a level."""

SCOPE_KEY = "__pregel_scope"
"""Where a task's config carries the task itself, for graphs that are called with that config."""
