"""Streaming from LangChain's chat models and tools; importing this needs langchain-core."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

from perdure.constants import TAG_NOSTREAM
from perdure.errors import GraphBubbleUp

if TYPE_CHECKING:
    from perdure.pregel.scope import TaskScope
    from perdure.types import RunnableConfig


def with_message_stream(config: RunnableConfig, scope: TaskScope) -> RunnableConfig:
    """Return the config with a callback handler that sends tokens to the run's stream.

    Where langchain-core isn't loaded nobody could call a handler, and the config stays as it is.
    """
    return _with_handler(config, _handler_class(), scope) if "langchain_core" in sys.modules else config


def with_tool_stream(config: RunnableConfig, scope: TaskScope) -> RunnableConfig:
    """Return the config with a callback handler that tells the stream mode `tools` of calls of tools."""
    return _with_handler(config, _tool_handler_class(), scope) if "langchain_core" in sys.modules else config


def _with_handler(config: RunnableConfig, kind: type[Any], scope: TaskScope) -> RunnableConfig:
    """Add a handler of a task; one of the task around isn't told of what happens in this one."""
    handler = kind(scope)
    callbacks = config.get("callbacks")
    if callbacks is None:
        config["callbacks"] = [handler]
    elif isinstance(callbacks, list):
        config["callbacks"] = [*[c for c in callbacks if not isinstance(c, kind)], handler]
    else:
        manager = callbacks.copy()
        manager.add_handler(handler, inherit=True)
        config["callbacks"] = manager
    return config


def enter(config: RunnableConfig) -> None:
    """Make a task's config the one that LangChain's runnables inherit when they are called without one."""
    if "langchain_core" in sys.modules:
        from langchain_core.runnables.config import var_child_runnable_config

        var_child_runnable_config.set(cast(Any, config))


_class: type[Any] | None = None


def _handler_class() -> type[Any]:
    """Make the handler's class when it is first needed: its base is LangChain's."""
    global _class
    if _class is not None:
        return _class
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.tracers._streaming import _StreamingCallbackHandler

    class MessageHandler(BaseCallbackHandler, _StreamingCallbackHandler[Any]):
        """Sends a chat model's messages to the stream mode `messages`, token by token where it streams."""

        run_inline = True

        def __init__(self, scope: TaskScope) -> None:
            self.scope = scope
            self.run_inline = True
            self.metadata: dict[Any, dict[str, Any]] = {}
            self.streamed: set[Any] = set()

        def on_chat_model_start(
            self,
            serialized: Any,
            messages: Any,
            *,
            run_id: Any,
            tags: Any = None,
            metadata: Any = None,
            **kwargs: Any,
        ) -> None:
            if not tags or TAG_NOSTREAM not in tags:
                self.metadata[run_id] = {
                    **self.scope.message_metadata(),
                    **(metadata or {}),
                    **({"tags": tags} if tags else {}),
                }

        def on_llm_new_token(self, token: Any, *, chunk: Any = None, run_id: Any, **kwargs: Any) -> None:
            message = getattr(chunk, "message", None)
            if run_id in self.metadata and message is not None:
                self.streamed.add(run_id)
                self._send(message, run_id)

        def on_llm_end(self, response: Any, *, run_id: Any, **kwargs: Any) -> None:
            if run_id in self.metadata and response.generations and response.generations[0]:
                message = getattr(response.generations[0][0], "message", None)
                if message is not None:
                    self._seen(message)
                    if run_id not in self.streamed:
                        self._send(message, run_id)
            self.metadata.pop(run_id, None)

        def tap_output_iter(self, run_id: Any, output: Any) -> Any:
            return output

        def tap_output_aiter(self, run_id: Any, output: Any) -> Any:
            return output

        def on_llm_error(self, error: BaseException, *, run_id: Any, **kwargs: Any) -> None:
            self.metadata.pop(run_id, None)

        def _seen(self, message: Any) -> None:
            if message.id is not None:
                self.scope.run.sink.seen_messages.add(message.id)

        def _send(self, message: Any, run_id: Any) -> None:
            if message.id is None:
                message.id = f"run-{run_id}"
            self._seen(message)
            run = self.scope.run
            run.sink.put(run.stream_ns, "messages", (message, self.metadata[run_id]))

    _class = MessageHandler
    return _class


_tool_class: type[Any] | None = None


def _tool_handler_class() -> type[Any]:
    """Make the class of the tools' handler when it is first needed: its base is LangChain's."""
    global _tool_class
    if _tool_class is not None:
        return _tool_class
    from langchain_core.callbacks import BaseCallbackHandler

    class ToolHandler(BaseCallbackHandler):
        """Tells the stream mode `tools` when a tool begins, and what has become of it."""

        def __init__(self, scope: TaskScope) -> None:
            self.scope = scope
            self.run_inline = True
            self.calls: dict[Any, str] = {}

        def on_tool_start(
            self,
            serialized: Any,
            input_str: str,
            *,
            run_id: Any,
            tags: Any = None,
            inputs: Any = None,
            tool_call_id: str | None = None,
            **kwargs: Any,
        ) -> None:
            if tags and TAG_NOSTREAM in tags:
                return
            self.calls[run_id] = call = tool_call_id or str(run_id)
            event = {"event": "tool-started", "tool_call_id": call, "tool_name": (serialized or {}).get("name", "")}
            self.scope.tell_tool(event if inputs is None else {**event, "input": inputs})

        def on_tool_end(self, output: Any, *, run_id: Any, **kwargs: Any) -> None:
            if (call := self.calls.pop(run_id, None)) is not None:
                value = getattr(output, "carried", output)
                self.scope.tell_tool({"event": "tool-finished", "tool_call_id": call, "output": value})

        def on_tool_error(self, error: BaseException, *, run_id: Any, **kwargs: Any) -> None:
            call = self.calls.pop(run_id, None)
            if call is not None and not isinstance(error, GraphBubbleUp):  # it stopped to ask, and will run again
                self.scope.tell_tool({"event": "tool-error", "tool_call_id": call, "message": str(error)})

    _tool_class = ToolHandler
    return _tool_class
