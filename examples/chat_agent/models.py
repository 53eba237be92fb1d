"""Chat models: any OpenAI-compatible endpoint, or a script."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import httpx

Message = dict[str, Any]
"""A message in the format of the chat completions API: role, content, tool_calls, tool_call_id."""


class Model(Protocol):
    """What the agent needs of a model."""

    def reply(self, messages: list[Message], tools: list[dict[str, Any]]) -> Message:
        """Return the assistant's next message."""
        ...


class OpenAICompatible:
    """A model behind `POST {base_url}/chat/completions`.

    Args:
        base_url: Such as `http://127.0.0.1:8080/v1`.
        model: The model's name there.
        api_key: Sent as a bearer token if the endpoint wants one.
        timeout: Seconds to wait for an answer.
    """

    def __init__(self, base_url: str, model: str, api_key: str | None = None, timeout: float = 120) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx.Client(base_url=base_url, headers=headers, timeout=timeout)
        self._model = model

    def reply(self, messages: list[Message], tools: list[dict[str, Any]]) -> Message:
        """Return the assistant's next message.

        Raises:
            httpx.HTTPError: The endpoint can't be reached or refuses.
        """
        body = {"model": self._model, "messages": messages, "tools": tools}
        answer = self._client.post("/chat/completions", json=body).raise_for_status().json()
        return dict(answer["choices"][0]["message"])

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class Scripted:
    """A model that says what it was told to say; for tests and for trying the agent without a network."""

    def __init__(self, replies: Iterable[Message]) -> None:
        self._replies = iter(replies)
        self.heard: list[list[Message]] = []

    def reply(self, messages: list[Message], tools: list[dict[str, Any]]) -> Message:
        """Return the script's next message."""
        del tools
        self.heard.append(messages)
        return next(self._replies)


def may_pass(error: Exception) -> bool:
    """Return whether trying again may help: no connection, too many requests, a server's own failure."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code == httpx.codes.TOO_MANY_REQUESTS or error.response.is_server_error
    return isinstance(error, httpx.TransportError)
