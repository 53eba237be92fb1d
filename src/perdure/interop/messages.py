"""LangChain's message classes for `add_messages`; importing this needs langchain-core."""

from __future__ import annotations

import uuid
from typing import Any

from langchain_core.messages import (
    BaseMessageChunk,
    convert_to_messages,
    convert_to_openai_messages,
    message_chunk_to_message,
)

from perdure.errors import UsageError


def with_ids(messages: list[Any]) -> list[Any]:
    """Return messages as LangChain's classes, each with an id."""
    found = []
    for message in convert_to_messages(messages):
        whole = message_chunk_to_message(message) if isinstance(message, BaseMessageChunk) else message
        if whole.id is None:
            whole.id = str(uuid.uuid4())
        found.append(whole)
    return found


def formatted(messages: list[Any], format: str) -> list[Any]:
    """Return messages whose contents are in the named format.

    Raises:
        UsageError: The format isn't `langchain-openai`.
    """
    if format != "langchain-openai":
        msg = f"there is no message format {format!r}"
        raise UsageError(msg, hint="the one format is 'langchain-openai'")
    return list(convert_to_messages(convert_to_openai_messages(messages)))
