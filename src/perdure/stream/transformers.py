"""Transformers: each makes projections, which are `StreamChannel`s, of a run's events.

A run's events are those of its graph and of all graphs that its nodes call. A transformer is made for one *scope*: the
graph with that namespace. It sees every event at or below its scope.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NotRequired, TypedDict

from perdure.constants import NS_END
from perdure.interop.chunks import added, content_of, id_of
from perdure.stream.stream_channel import StreamChannel

if TYPE_CHECKING:
    from perdure.stream.run_stream import SubgraphStreams

__all__ = [
    "CheckpointsTransformer",
    "CustomTransformer",
    "DebugTransformer",
    "LifecyclePayload",
    "LifecycleTransformer",
    "MessageStream",
    "MessagesTransformer",
    "ProtocolEvent",
    "StreamTransformer",
    "SubgraphStatus",
    "SubgraphTransformer",
    "TasksTransformer",
    "UpdatesTransformer",
    "ValuesTransformer",
]

SubgraphStatus = Literal["started", "completed", "failed", "interrupted", "drained"]
"""How a graph that a node has called stands."""


class _Params(TypedDict):
    namespace: list[str]
    timestamp: int
    data: Any
    interrupts: NotRequired[tuple[Any, ...]]


class ProtocolEvent(TypedDict):
    """Something that happened in a run.

    Attributes:
        type: `event`.
        event_id: Names it, where a transport needs that.
        seq: Its number in the run, from 1.
        method: What it tells: a stream mode, or `lifecycle`.
        params: `namespace` (a part a level), `timestamp` (milliseconds since 1970), `data`, and with the mode `values`
            the open `interrupts`.
    """

    type: Literal["event"]
    event_id: NotRequired[str]
    seq: NotRequired[int]
    method: str
    params: _Params


class LifecyclePayload(TypedDict):
    """That a graph which a node has called has begun or ended.

    Attributes:
        event: What became of it.
        namespace: Its own.
        graph_name: The node that called it.
        trigger_call_id: The task that called it.
        error: Why it failed.
    """

    event: SubgraphStatus
    namespace: list[str]
    graph_name: NotRequired[str]
    trigger_call_id: NotRequired[str]
    error: NotRequired[str]


class StreamTransformer:
    """The base of transformers.

    Args:
        scope: The namespace of the graph that it is for.
    """

    required_stream_modes: ClassVar[tuple[str, ...]] = ()
    """Stream modes that the run must tell for it."""
    requires_async: ClassVar[bool] = False
    """Whether it works in asynchronous runs only, for it has an `aprocess` of its own."""
    supports_sync: ClassVar[bool] = False
    """Whether it works in synchronous runs although it requires async for some of what it does."""
    before_builtins: ClassVar[bool] = False
    """Whether it sees events before the transformers that every run has."""

    def __init__(self, scope: tuple[str, ...] = ()) -> None:
        self.scope = scope

    def init(self) -> dict[str, Any]:
        """Return its projections by name."""
        return {}

    def process(self, event: ProtocolEvent) -> bool:
        """Look at an event; return False to keep it from everybody after this one."""
        return True

    async def aprocess(self, event: ProtocolEvent) -> bool:
        """Do what `process` does, in asynchronous runs."""
        return self.process(event)

    def finalize(self) -> None:
        """The run has ended."""

    async def afinalize(self) -> None:
        """Async twin of `finalize`."""
        self.finalize()

    def fail(self, err: BaseException) -> None:
        """The run has failed."""

    async def afail(self, err: BaseException) -> None:
        """Async twin of `fail`."""
        self.fail(err)

    def schedule(
        self, coro: Coroutine[Any, Any, Any], *, on_error: Literal["log", "raise"] = "log"
    ) -> asyncio.Task[Any]:
        """Begin something beside the run.

        Args:
            coro: What to do.
            on_error: Whether what it raises is logged, or left for whoever awaits the task.
        """
        task = asyncio.get_running_loop().create_task(coro)
        if on_error == "log":
            task.add_done_callback(_log)
        return task

    def is_mine(self, event: ProtocolEvent) -> bool:
        """Tell whether an event is of the scope itself."""
        return tuple(event["params"]["namespace"]) == self.scope


def _log(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logging.getLogger(__name__).error("a stream transformer's task failed", exc_info=error)


class _OneMode(StreamTransformer):
    """Gives the payloads of one stream mode, of the scope itself."""

    mode: ClassVar[str]

    def __init__(self, scope: tuple[str, ...] = ()) -> None:
        super().__init__(scope)
        self.channel: StreamChannel[Any] = StreamChannel(self.mode)

    def init(self) -> dict[str, Any]:
        return {self.mode: self.channel}

    def process(self, event: ProtocolEvent) -> bool:
        if event["method"] == self.mode and self.is_mine(event):
            self.channel.push(event["params"]["data"])
        return True


class ValuesTransformer(_OneMode):
    """`values`: the state after each superstep."""

    mode = "values"
    required_stream_modes = ("values",)


class UpdatesTransformer(_OneMode):
    """`updates`: what each node has returned."""

    mode = "updates"
    required_stream_modes = ("updates",)


class CustomTransformer(_OneMode):
    """`custom`: what nodes have sent to their stream writer."""

    mode = "custom"
    required_stream_modes = ("custom",)


class CheckpointsTransformer(_OneMode):
    """`checkpoints`: each checkpoint."""

    mode = "checkpoints"
    required_stream_modes = ("checkpoints",)


class TasksTransformer(_OneMode):
    """`tasks`: tasks that begin and end."""

    mode = "tasks"
    required_stream_modes = ("tasks",)


class DebugTransformer(_OneMode):
    """`debug`: tasks and checkpoints."""

    mode = "debug"
    required_stream_modes = ("debug",)


class MessageStream:
    """One message of a chat model, as it comes.

    Attributes:
        id: The message's.
        node: Who called the model.
        text: Its text, piece by piece.
        chunks: Its chunks.
    """

    def __init__(self, id: str | None, metadata: dict[str, Any]) -> None:
        self.id = id
        self.metadata = metadata
        self.node = metadata.get("langgraph_node")
        self.text: StreamChannel[str] = StreamChannel("text")
        self.chunks: StreamChannel[Any] = StreamChannel("chunks")
        self._whole: Any = None

    def add(self, chunk: Any) -> None:
        """Take the next chunk."""
        self.chunks.push(chunk)
        content = content_of(chunk)
        if isinstance(content, str):
            if content:
                self.text.push(content)
        else:
            for block in content:
                if isinstance(block, dict) and block.get("text"):
                    self.text.push(block["text"])
        self._whole = chunk if self._whole is None else added(self._whole, chunk)

    @property
    def output(self) -> Any:
        """The whole message."""
        for _ in self.chunks:
            pass
        return self._whole

    async def aoutput(self) -> Any:
        """Async twin of `output`."""
        async for _ in self.chunks:
            pass
        return self._whole

    def close(self) -> None:
        """Say that it is whole."""
        self.text.close()
        self.chunks.close()


class MessagesTransformer(StreamTransformer):
    """`messages`: a `MessageStream` for each message of a chat model that the scope's nodes call."""

    required_stream_modes = ("messages",)

    def __init__(self, scope: tuple[str, ...] = ()) -> None:
        super().__init__(scope)
        self.channel: StreamChannel[MessageStream] = StreamChannel("messages")
        self._open: dict[Any, MessageStream] = {}

    def init(self) -> dict[str, Any]:
        return {"messages": self.channel}

    def process(self, event: ProtocolEvent) -> bool:
        if event["method"] == "messages" and self.is_mine(event):
            chunk, metadata = event["params"]["data"]
            key = id_of(chunk)
            stream = self._open.get(key)
            if stream is None:
                stream = self._open[key] = MessageStream(key, metadata)
                stream.text.drive_as(self.channel)
                stream.chunks.drive_as(self.channel)
                self.channel.push(stream)
            stream.add(chunk)
            is_piece = isinstance(chunk, dict) or type(chunk).__name__.endswith("Chunk")
            if getattr(chunk, "chunk_position", None) == "last" or not is_piece:
                self._open.pop(key).close()
        return True

    def finalize(self) -> None:
        for stream in self._open.values():
            stream.close()

    def fail(self, err: BaseException) -> None:
        for stream in self._open.values():
            stream.text.fail(err)
            stream.chunks.fail(err)


class LifecycleTransformer(StreamTransformer):
    """`lifecycle`: when graphs that are called begin and end, at any depth below the scope."""

    def __init__(self, scope: tuple[str, ...] = ()) -> None:
        super().__init__(scope)
        self.channel: StreamChannel[LifecyclePayload] = StreamChannel("lifecycle")

    def init(self) -> dict[str, Any]:
        return {"lifecycle": self.channel}

    def process(self, event: ProtocolEvent) -> bool:
        if event["method"] == "lifecycle":
            self.channel.push(event["params"]["data"])
        return True


class SubgraphTransformer(StreamTransformer):
    """`subgraphs`: a stream for each graph that the scope's nodes call."""

    def __init__(self, scope: tuple[str, ...] = (), streams: SubgraphStreams | None = None) -> None:
        super().__init__(scope)
        self.channel: StreamChannel[Any] = StreamChannel("subgraphs")
        self._streams = streams

    def init(self) -> dict[str, Any]:
        return {"subgraphs": self.channel}

    def process(self, event: ProtocolEvent) -> bool:
        if event["method"] == "lifecycle" and self.is_mine(event) and self._streams is not None:
            data: LifecyclePayload = event["params"]["data"]
            if data["event"] == "started":
                self.channel.push(self._streams.of(tuple(data["namespace"])))
        return True


def name_of(namespace: tuple[str, ...]) -> tuple[str, str]:
    """Return the node and the task that a namespace's last part names."""
    node, _, task = namespace[-1].partition(NS_END)
    return node, task
