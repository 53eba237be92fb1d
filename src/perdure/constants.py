"""Names that graphs, configs and checkpoints share."""

from __future__ import annotations

from typing import Any, Final

from perdure.checkpoint.serde.types import ERROR, INTERRUPT, RESUME, SCHEDULED, TASKS

__all__ = ["CONF", "CONFIG_KEY_CHECKPOINTER", "END", "START", "TAG_HIDDEN", "TAG_NOSTREAM", "TASKS"]


class _Missing:
    """The type of MISSING."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final[Any] = _Missing()
"""Stands for "no value": None is a value."""

START: Final = "__start__"
"""The node before the first one; also the channel that receives a run's input."""

END: Final = "__end__"
"""The node after the last one."""

TAG_HIDDEN: Final = "langsmith:hidden"
"""Keeps a node or edge out of drawings and streams; the value is the one that tools know."""

TAG_NOSTREAM: Final = "nostream"
"""Keeps a chat model's tokens out of the stream mode `messages`."""

CONF: Final = "configurable"

CONFIG_KEY_CHECKPOINTER: Final = "__pregel_checkpointer"
"""Where a call's config may bring a saver, in place of the graph's own: `{"configurable": {this: saver}}`."""

# Reserved channels of pending writes (with ERROR, INTERRUPT, RESUME, TASKS)
NO_WRITES: Final = "__no_writes__"
RETURN: Final = "__return__"
PREVIOUS: Final = "__previous__"
INPUT: Final = "__input__"
COPY: Final = "__copy__"

CONTROL_WRITES = frozenset({ERROR, INTERRUPT, RESUME, SCHEDULED})
"""Writes that don't mean that their task is finished."""

RESERVED_WRITES = frozenset({ERROR, INTERRUPT, RESUME, SCHEDULED, NO_WRITES, RETURN})
"""Writes that no channel receives."""

NULL_TASK_ID: Final = "00000000-0000-0000-0000-000000000000"
"""The task id of writes that come from the caller's `Command`."""

PULL: Final = "__pregel_pull"
PUSH: Final = "__pregel_push"

NS_SEP: Final = "|"
"""Separates the levels of a checkpoint namespace."""

NS_END: Final = ":"
"""Separates a node's name from its task id within a level."""

SCOPE_KEY: Final = "__pregel_scope"
"""Where a task's config carries the task itself, for graphs that are called with that config."""
