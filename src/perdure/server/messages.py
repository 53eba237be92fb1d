"""The stream mode `messages` of the first protocol: messages as they grow, where `messages-tuple` tells the pieces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class Growing:
    """Puts pieces of messages together, by their ids."""

    def __init__(self) -> None:
        self._whole: dict[str, Any] = {}

    def events(self, payload: Any) -> Iterator[tuple[str, Any]]:
        """Yield what to tell of a piece: whose it is, when it is the first; then the message so far, or as a whole."""
        piece, metadata = payload
        id_ = _get(piece, "id") or ""
        if id_ not in self._whole:
            yield "messages/metadata", {id_: {"metadata": metadata}}
        is_piece = str(_get(piece, "type") or "").endswith("Chunk") or type(piece).__name__.endswith("Chunk")
        before = self._whole.get(id_)
        self._whole[id_] = whole = piece if before is None or not is_piece else _joined(before, piece)
        yield ("messages/partial" if is_piece else "messages/complete"), [whole]


def _get(message: Any, name: str) -> Any:
    return message.get(name) if isinstance(message, dict) else getattr(message, name, None)


def _joined(before: Any, piece: Any) -> Any:
    if not isinstance(before, dict):
        return before + piece  # LangChain's chunks know how
    content, more = before.get("content"), piece.get("content")
    if isinstance(content, str) and isinstance(more, str):
        return {**before, **piece, "content": content + more}
    return {**before, **piece, "content": [*(content or []), *(more or [])]}
