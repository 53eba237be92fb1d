"""Calls of tools as a projection of a run: `graph.stream_events(..., transformers=[ToolCallTransformer])`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar

from langchain_core.messages import ToolMessage

from perdure.stream import ProtocolEvent, StreamChannel, StreamTransformer

__all__ = ["ToolCallStream", "ToolCallTransformer"]


class ToolCallStream:
    """One call of a tool, as it goes on; iterating over it gives what the tool emits.

    Attributes:
        tool_call_id: Names the call.
        tool_name: The tool.
        input: Its arguments.
        output_deltas: What it emits by `runtime.emit_output_delta`.
        output: What it has returned; the content, if that is a message.
        error: Why it failed.
        completed: Whether it has ended.
    """

    def __init__(self, tool_call_id: str, tool_name: str, input: dict[str, Any] | None) -> None:
        self.tool_call_id = tool_call_id
        self.tool_name = tool_name
        self.input = input
        self.output_deltas: StreamChannel[Any] = StreamChannel("output_deltas")
        self.output: Any = None
        self.error: str | None = None
        self.completed = False

    def finish(self, output: Any = None, error: str | None = None) -> None:
        """Say what has become of it."""
        self.output, self.error, self.completed = output, error, True
        self.output_deltas.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.output_deltas)

    def __aiter__(self) -> AsyncIterator[Any]:
        return aiter(self.output_deltas)

    def __repr__(self) -> str:
        stands = f"error={self.error!r}" if self.error else f"output={self.output!r}" if self.completed else "going on"
        return f"<{type(self).__name__} {self.tool_name} {self.tool_call_id} {stands}>"


class ToolCallTransformer(StreamTransformer):
    """`tool_calls`: a `ToolCallStream` for each call of a tool that the scope's nodes make."""

    required_stream_modes: ClassVar[tuple[str, ...]] = ("tools",)

    def __init__(self, scope: tuple[str, ...] = ()) -> None:
        super().__init__(scope)
        self.channel: StreamChannel[ToolCallStream] = StreamChannel("tool_calls")
        self._open: dict[str, ToolCallStream] = {}

    def init(self) -> dict[str, Any]:
        return {"tool_calls": self.channel}

    def process(self, event: ProtocolEvent) -> bool:
        if event["method"] == "tools" and self.is_mine(event):
            self._take(event["params"]["data"])
        return True

    def _take(self, data: dict[str, Any]) -> None:
        call, kind = data["tool_call_id"], data["event"]
        if kind == "tool-started":
            stream = self._open[call] = ToolCallStream(call, data["tool_name"], data.get("input"))
            stream.output_deltas.drive_as(self.channel)
            self.channel.push(stream)
        elif call in self._open:
            if kind == "tool-output-delta":
                self._open[call].output_deltas.push(data["delta"])
            elif kind == "tool-finished":
                self._open.pop(call).finish(_content(data["output"]))
            else:
                self._open.pop(call).finish(error=data["message"])

    def finalize(self) -> None:
        for stream in self._open.values():
            stream.finish()  # it stopped to ask

    def fail(self, err: BaseException) -> None:
        for stream in self._open.values():
            stream.finish(error=str(err))


def _content(output: Any) -> Any:
    return output.content if isinstance(output, ToolMessage) else output
