"""Chat models: any OpenAI-compatible endpoint, a script, or one that has rehearsed a few answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from itertools import takewhile
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


class Rehearsed:
    """A model that knows a few moves: it calculates, tells the date, writes notes."""

    def reply(self, messages: list[Message], tools: list[dict[str, Any]]) -> Message:
        """Call the tools that the user's words ask for, or say what they have answered."""
        del tools
        results = [message["content"] for message in takewhile(lambda m: m["role"] == "tool", reversed(messages))]
        if results:
            return {"role": "assistant", "content": f"Here you are: {'; '.join(reversed(results))}."}
        text = str(messages[-1].get("content") or "")
        calls = [_call(f"{len(messages)}-{n}", *one) for n, one in enumerate(_wanted(text))]
        if calls:
            return {"role": "assistant", "content": None, "tool_calls": calls}
        return {"role": "assistant", "content": "I can calculate (6 * 7), tell today's date, and write a note."}


def _wanted(text: str) -> Iterable[tuple[str, dict[str, str]]]:
    if sum_ := re.search(r"[\d(][\d\s().+*/%-]*[+*/%-][\d\s().+*/%-]*[\d)]", text):
        yield "calculate", {"expression": sum_[0]}
    if re.search(r"\b(today|date)\b", text, re.IGNORECASE):
        yield "today", {}
    if re.search(r"\bnote\b", text, re.IGNORECASE):
        yield "write_note", {"title": "A note", "text": text}


def _call(id_: str, name: str, arguments: dict[str, str]) -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


def model_of(environment: Mapping[str, str]) -> Model:
    """Return the model behind `OPENAI_BASE_URL`, or the rehearsed one if that isn't set."""
    base_url = environment.get("OPENAI_BASE_URL")
    if not base_url:
        return Rehearsed()
    return OpenAICompatible(base_url, environment.get("OPENAI_MODEL", "default"), environment.get("OPENAI_API_KEY"))


def may_pass(error: Exception) -> bool:
    """Return whether trying again may help: no connection, too many requests, a server's own failure."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code == httpx.codes.TOO_MANY_REQUESTS or error.response.is_server_error
    return isinstance(error, httpx.TransportError)
