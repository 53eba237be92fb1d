"""Pieces of a chat message: texts, dicts, or LangChain's chunks; made of and put together as what is installed.

Where langchain-core is installed, a text becomes one of its chunks, as `add_messages` makes its messages of dicts;
elsewhere pieces are dicts.
"""

from __future__ import annotations

import uuid
from functools import cache
from typing import Any

from perdure.errors import UsageError


@cache
def _messages() -> Any:
    """Return LangChain's messages, None if it isn't installed."""
    try:
        from langchain_core import messages
    except ImportError:
        return None
    return messages


class WholeMessage:
    """A message that comes piece by piece.

    Args:
        id: The message's; a new one by default, or the first piece's own.
    """

    def __init__(self, id: str | None = None) -> None:
        self.id = id
        self._whole: Any = None

    def add(self, piece: Any) -> Any:
        """Add a piece; return it as it is told.

        Raises:
            UsageError: It is no piece of a message.
        """
        if self.id is None:
            self.id = id_of(piece) or str(uuid.uuid4())
        chunk = _as_chunk(piece, self.id)
        self._whole = chunk if self._whole is None else added(self._whole, chunk)
        return chunk

    def end(self) -> Any:
        """Return a piece that says that the message is whole; None if there is no such thing, or no message."""
        known = _messages()
        if known is None or self._whole is None or "chunk_position" not in known.AIMessageChunk.model_fields:
            return None
        return self.add(known.AIMessageChunk(content="", id=self.id, chunk_position="last"))

    def message(self) -> Any:
        """Return the message; None if there was no piece of it."""
        known = _messages()
        if known is None or self._whole is None:
            return self._whole
        return known.message_chunk_to_message(self._whole)


def is_piece(value: Any) -> bool:
    """Tell whether what a node yields is a piece of a message: a text, or a chunk of LangChain's."""
    known = _messages()
    return isinstance(value, str) or (known is not None and isinstance(value, known.BaseMessageChunk))


def _as_chunk(piece: Any, id: str) -> Any:
    known = _messages()
    content: Any
    if isinstance(piece, dict) and "content" in piece:
        content = piece["content"]
    elif isinstance(piece, str):
        content = piece
    elif known is not None and isinstance(piece, known.BaseMessageChunk):
        chunk: Any = piece
        return chunk if chunk.id is not None else chunk.model_copy(update={"id": id})
    else:
        raise UsageError(
            f"{piece!r} is no piece of a message",
            hint='pieces are texts, dicts such as {"content": "..."}, or LangChain\'s chunks',
        )
    if known is None:
        return {"role": "assistant", "content": content, "id": id}
    return known.AIMessageChunk(content=content, id=id)


def as_kept(message: Any) -> Any:
    """Return a message in the form in which `add_messages` keeps it: a dict becomes LangChain's, if it is there."""
    known = _messages()
    return known.convert_to_messages([message])[0] if known is not None and isinstance(message, dict) else message


def added(whole: Any, chunk: Any) -> Any:
    """Return a message with one more piece."""
    if isinstance(whole, dict):
        return {**whole, "content": whole["content"] + chunk["content"]}
    return whole + chunk


def content_of(chunk: Any) -> Any:
    """Return the content of a piece."""
    return chunk["content"] if isinstance(chunk, dict) else chunk.content


def id_of(chunk: Any) -> str | None:
    """Return the message's id that a piece has."""
    found: str | None = chunk.get("id") if isinstance(chunk, dict) else getattr(chunk, "id", None)
    return found
