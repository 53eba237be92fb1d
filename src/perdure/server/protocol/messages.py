"""Messages as content blocks: pieces of LangChain's messages, or dicts of that form, become the channel `messages`."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from perdure.server.encoding import decode

Event = dict[str, Any]

_ROLES: Final = {"ai": "ai", "assistant": "ai", "human": "human", "user": "human", "system": "system",
                 "developer": "system"}  # fmt: skip
_GROWING: Final = {"text": "text", "reasoning": "reasoning", "tool_call_chunk": "args",
                   "server_tool_call_chunk": "args"}  # fmt: skip
_CALLS: Final = frozenset({"tool_call", "invalid_tool_call", "tool_call_chunk"})
_DATA: Final = frozenset({"image", "audio", "video", "file"})
_TOLD: Final = ("langgraph_node", "langgraph_step", "run_id", "thread_id")
_MODEL: Final = {"ls_provider": "provider", "ls_model_name": "model", "ls_model_type": "model_type"}


def get(message: Any, name: str) -> Any:
    """Return a field of a message, which may be a dict."""
    return message.get(name) if isinstance(message, Mapping) else getattr(message, name, None)


class Messages:
    """The messages of a run that are being told: by namespace and id."""

    def __init__(self) -> None:
        self._open: dict[tuple[tuple[str, ...], str], Message] = {}

    def of(self, namespace: tuple[str, ...], piece: Any, metadata: Mapping[str, Any]) -> Iterator[tuple[str, Event]]:
        """Yield the events of a piece of a message, or of a whole one, each with its node."""
        kind = str(get(piece, "type") or get(piece, "role") or "")
        is_piece = kind.endswith("Chunk") or type(piece).__name__.endswith("Chunk")
        role = _ROLES.get(kind.removesuffix("MessageChunk").lower())
        if role is None:
            return  # results of tools are told by the channel `tools`
        key = namespace, str(get(piece, "id") or uuid.uuid4())
        message = self._open.get(key)
        node = str(metadata.get("langgraph_node") or "")
        if message is None:
            message = self._open[key] = Message(key[1], node)
            yield node, message.start(role, metadata)
        for event in message.add(piece):
            yield node, event
        if not is_piece or get(piece, "chunk_position") == "last":
            yield from self._close(key)

    def close(self, namespace: tuple[str, ...], node: str) -> Iterator[tuple[str, Event]]:
        """Finish the messages of a node that has ended."""
        for key in [key for key, message in self._open.items() if key[0] == namespace and message.node == node]:
            yield from self._close(key)

    def close_all(self, error: str | None) -> Iterator[tuple[tuple[str, ...], str, Event]]:
        """Finish all messages: the run has ended."""
        for key, message in list(self._open.items()):
            if error is None:
                for node, event in self._close(key):
                    yield key[0], node, event
            else:
                yield key[0], message.node, message.event("error", message=error)
        self._open.clear()

    def _close(self, key: tuple[tuple[str, ...], str]) -> Iterator[tuple[str, Event]]:
        message = self._open.pop(key)
        for event in message.finish():
            yield message.node, event


class Message:
    """A message as far as it has come.

    Args:
        id: Its own.
        node: Whose it is.
    """

    def __init__(self, id: str, node: str) -> None:
        self.id = id
        self.node = node
        self._blocks: list[dict[str, Any]] = []
        self._places: dict[Any, int] = {}
        self._usage: dict[str, Any] = {}
        self._reason: str | None = None

    def event(self, name: str, **fields: Any) -> Event:
        """Return an event; it names the message, for several of a node may come at once."""
        return {"event": name, "message_id": self.id, **fields}

    def start(self, role: str, metadata: Mapping[str, Any]) -> Event:
        """Return the event that begins it."""
        told = {name: metadata[name] for name in _TOLD if metadata.get(name) is not None}
        told |= {ours: metadata[theirs] for theirs, ours in _MODEL.items() if metadata.get(theirs) is not None}
        return {"event": "message-start", "role": role, "id": self.id, "metadata": told}

    def add(self, piece: Any) -> Iterator[Event]:
        """Yield the events of a piece."""
        for block in blocks_of(piece):
            yield from self._added(block)
        usage = get(piece, "usage_metadata")
        if isinstance(usage, Mapping):
            self._usage = _sum(self._usage, usage)
        response = get(piece, "response_metadata")
        reason = response.get("finish_reason") or response.get("stop_reason") if isinstance(response, Mapping) else None
        self._reason = reason if isinstance(reason, str) else self._reason

    def _added(self, block: dict[str, Any]) -> Iterator[Event]:
        kind, field = block["type"], _GROWING.get(block["type"])
        place = self._place(block)
        if place is None:
            place = len(self._blocks)
            self._places[_key(block)] = place
            self._blocks.append({**block, field: ""} if field else block)
            yield self.event("content-block-start", index=place, content=dict(self._blocks[place]))
            if field is None:
                return
        held = self._blocks[place]
        if field is None:
            more = block.get("base64")
            if kind in _DATA and isinstance(more, str):
                held["base64"] = f"{held.get('base64') or ''}{more}"
                delta = {"type": "data-delta", "data": more, "encoding": "base64"}
                yield self.event("content-block-delta", index=place, delta=delta)
            return
        news = {k: v for k, v in block.items() if k != field and v is not None and held.get(k) != v}
        if news:
            held.update(news)
            fields = {**news, "type": kind}
            yield self.event("content-block-delta", index=place, delta={"type": "block-delta", "fields": fields})
        if more := block.get(field):
            held[field] += more
            name = "tool-call" if field == "args" else field
            yield self.event("content-block-delta", index=place, delta={"type": f"{name}-delta", field: more})

    def _place(self, block: dict[str, Any]) -> int | None:
        """Return where a block goes on that has begun; None: it is new."""
        if block.get("index") is not None:
            return self._places.get(_key(block))
        goes_on = block["type"] in _GROWING and self._blocks and self._blocks[-1]["type"] == block["type"]
        held_id = self._blocks[-1].get("id") if self._blocks else None
        return len(self._blocks) - 1 if goes_on and block.get("id") in (None, held_id) else None

    def finish(self) -> Iterator[Event]:
        """Yield the events that end it."""
        for place, block in enumerate(self._blocks):
            yield self.event("content-block-finish", index=place, content=_finished(block))
        told: dict[str, Any] = {"usage": self._usage} if self._usage else {}
        yield self.event("message-finish", **told, **({"reason": self._reason} if self._reason else {}))


def _key(block: Mapping[str, Any]) -> Any:
    return block["type"], block.get("index") if block.get("index") is not None else object()


def blocks_of(message: Any) -> list[dict[str, Any]]:
    """Return a message's content in blocks of the protocol's types."""
    known = None if isinstance(message, Mapping) else getattr(message, "content_blocks", None)
    found = _plain_blocks(message) if known is None else known
    if pieces := get(message, "tool_call_chunks"):  # LangChain reads those of the last piece as whole calls
        found = [block for block in found if block["type"] not in _CALLS]
        found += [{**piece, "type": "tool_call_chunk"} for piece in pieces]
    return [dict(block) for block in found if not (block["type"] == "text" and not block.get("text"))]


def _plain_blocks(message: Any) -> list[dict[str, Any]]:
    content = get(message, "content") or []
    items = [content] if isinstance(content, str) else content
    found = [{"type": "text", "text": item} if isinstance(item, str) else _standard(item) for item in items]
    return found + [{**call, "type": "tool_call"} for call in get(message, "tool_calls") or ()]


def _standard(item: Any) -> dict[str, Any]:
    is_known = isinstance(item, dict) and item.get("type") in (*_GROWING, *_DATA, "tool_call")
    return item if is_known else {"type": "non_standard", "value": item if isinstance(item, dict) else {"value": item}}


def _finished(block: dict[str, Any]) -> dict[str, Any]:
    """Return a block as it is told at its end: calls of tools with their arguments read."""
    kind = block["type"]
    if kind not in ("tool_call_chunk", "server_tool_call_chunk"):
        return block
    whole = {key: value for key, value in block.items() if key != "index"}
    try:
        arguments = decode(block["args"] or "{}")
    except msgspec.DecodeError as e:
        return {**whole, "type": "invalid_tool_call", "error": str(e)}
    if not isinstance(arguments, dict):
        return {**whole, "type": "invalid_tool_call", "error": "the arguments are no object"}
    return {**whole, "type": kind.removesuffix("_chunk"), "args": arguments}


def _sum(before: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Add up what is counted."""
    found = dict(before)
    for name, value in more.items():
        if isinstance(value, Mapping):
            found[name] = _sum(found.get(name) or {}, value)
        elif isinstance(value, int):
            found[name] = found.get(name, 0) + value
    return found
