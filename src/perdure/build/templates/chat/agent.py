"""A chat that remembers: one node that answers, on any OpenAI-compatible model, or without one."""

from __future__ import annotations

import json
import os
import urllib.request
from typing import Any

from perdure.graph import START, MessagesState, StateGraph

PATIENCE = 120
"""Seconds that a model may take."""


def answer(state: MessagesState) -> dict[str, Any]:
    """Say the next message."""
    history = [plain(message) for message in state["messages"]]
    return {"messages": [{"role": "assistant", "content": reply(history)}]}


def reply(history: list[dict[str, str]]) -> str:
    """Ask the model that MODEL_URL names; without one, repeat, and tell how long the conversation is."""
    url = os.environ.get("MODEL_URL")
    if url is None:
        turns = sum(message["role"] == "user" for message in history)
        return f"You said: {history[-1]['content']} (message {turns} of this thread)"
    body = json.dumps({"model": os.environ.get("MODEL", "default"), "messages": history}).encode()
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("MODEL_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(f"{url}/chat/completions", body, headers)  # noqa: S310 - the URL is the operator's
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:  # noqa: S310
        return str(json.load(response)["choices"][0]["message"]["content"])


def plain(message: Any) -> dict[str, str]:
    """Return a message in the form that models take, whichever class it has."""
    if isinstance(message, dict):
        return {"role": str(message["role"]), "content": str(message["content"])}
    roles = {"human": "user", "ai": "assistant"}
    return {"role": str(roles.get(message.type, message.type)), "content": str(message.content)}


graph = StateGraph(MessagesState).add_node(answer).add_edge(START, "answer").compile()
