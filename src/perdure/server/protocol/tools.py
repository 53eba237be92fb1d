"""The channel `tools`: calls of LangChain's tools, heard by a callback handler that goes into a run's config."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any

Tell = Callable[[tuple[str, ...], dict[str, Any]], None]

_class: type[Any] | None = None


def with_tools(config: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Return the config with a handler that tells of calls of tools.

    Where langchain-core isn't loaded there are no such tools, and the config stays as it is.

    Args:
        config: The run's.
        tell: Is called with a namespace and an event, in this event loop's thread.
    """
    if "langchain_core" not in sys.modules:
        return config
    return {**config, "callbacks": [_handler_class()(tell, asyncio.get_running_loop())]}


def _handler_class() -> type[Any]:
    """Make the handler's class when it is first needed: its base is LangChain's."""
    global _class
    if _class is not None:
        return _class
    from langchain_core.callbacks import BaseCallbackHandler

    class ToolHandler(BaseCallbackHandler):
        """Tells when tools begin, end and fail."""

        run_inline = True

        def __init__(self, tell: Tell, loop: asyncio.AbstractEventLoop) -> None:
            self._tell_in_loop = tell
            self._loop = loop
            self._thread = threading.get_ident()
            self._calls: dict[Any, tuple[tuple[str, ...], str]] = {}

        def _tell(self, namespace: tuple[str, ...], event: dict[str, Any]) -> None:
            if threading.get_ident() == self._thread:
                self._tell_in_loop(namespace, event)
            else:
                self._loop.call_soon_threadsafe(self._tell_in_loop, namespace, event)

        def on_tool_start(
            self, serialized: Any, input_str: str, *, run_id: Any, metadata: Any = None, inputs: Any = None, **more: Any
        ) -> None:
            place = str((metadata or {}).get("langgraph_checkpoint_ns") or "")
            call_id = str(more.get("tool_call_id") or run_id)
            self._calls[run_id] = call = (tuple(place.split("|")[:-1]), call_id)
            name = (serialized or {}).get("name") or more.get("name") or ""
            event = {"event": "tool-started", "tool_call_id": call_id, "tool_name": name}
            self._tell(call[0], {**event, "input": input_str if inputs is None else inputs})

        def on_tool_end(self, output: Any, *, run_id: Any, **more: Any) -> None:
            if (call := self._calls.pop(run_id, None)) is not None:
                self._tell(call[0], {"event": "tool-finished", "tool_call_id": call[1], "output": output})

        def on_tool_error(self, error: BaseException, *, run_id: Any, **more: Any) -> None:
            call = self._calls.pop(run_id, None)
            if call is None or any(cls.__name__ == "GraphBubbleUp" for cls in type(error).__mro__):
                return  # it asks a question, and is called again with the answer
            event = {"event": "tool-error", "tool_call_id": call[1], "message": str(error)}
            self._tell(call[0], {**event, "code": type(error).__name__})

    _class = ToolHandler
    return _class
