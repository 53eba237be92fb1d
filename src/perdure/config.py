"""Access, from inside a node, to the config of its task, its store and its stream writer."""

from __future__ import annotations

from typing import Any

from perdure.errors import UsageError
from perdure.runtime import current_task
from perdure.types import RunnableConfig, StreamWriter

__all__ = ["RunnableConfig", "get_config", "get_store", "get_stream_writer"]


def get_config() -> RunnableConfig:
    """Return the config of the task that the caller runs in.

    Raises:
        UsageError: Called outside of a node.
    """
    return current_task("get_config()").config()


def get_store() -> Any:
    """Return the store that the graph was compiled with.

    Raises:
        UsageError: Called outside of a node, or the graph has no store.
    """
    store = current_task("get_store()").run.store
    if store is None:
        msg = "get_store() was called in a graph that has no store"
        raise UsageError(msg, hint="give it one: builder.compile(store=...)")
    return store


def get_stream_writer() -> StreamWriter:
    """Return a function that sends its argument to the stream mode `custom`.

    Raises:
        UsageError: Called outside of a node.
    """
    return current_task("get_stream_writer()").writer
