"""Answers from documents: they are put into the store once, found by their words, and quoted."""

from __future__ import annotations

import math
import re
import zlib
from pathlib import Path
from typing import TypedDict

from perdure.graph import START, StateGraph
from perdure.runtime import Runtime
from perdure.store.base import BaseStore

DOCUMENTS = Path(__file__).with_name("documents")
NAMESPACE = ("documents",)
DIMENSIONS = 512


class Question(TypedDict, total=False):
    """The state: a question, what was found, the answer."""

    question: str
    found: list[str]
    answer: str


def embed(texts: list[str]) -> list[list[float]]:
    """Return a vector of each text's words. Words have no meaning to it: a model's embeddings find more."""
    return [_vector(text) for text in texts]


def _vector(text: str) -> list[float]:
    counts = [0.0] * DIMENSIONS
    for word in re.findall(r"[^\W_]{3,}", text.lower()):
        counts[zlib.crc32(word[:6].encode()) % DIMENSIONS] += 1.0
    length = math.sqrt(sum(count * count for count in counts)) or 1.0
    return [count / length for count in counts]


def read(state: Question, runtime: Runtime[None]) -> Question:
    """Put paragraphs that the store doesn't have yet into it."""
    store = _store(runtime)
    for path in sorted(DOCUMENTS.glob("*.md")):
        for number, text in enumerate(filter(None, re.split(r"\n\s*\n", path.read_text(encoding="utf-8")))):
            key = f"{path.stem}-{number}-{zlib.crc32(text.encode())}"
            if store.get(NAMESPACE, key) is None:
                store.put(NAMESPACE, key, {"text": text.strip(), "source": path.name})
    return {}


def search(state: Question, runtime: Runtime[None]) -> Question:
    """Find what is nearest to the question."""
    items = _store(runtime).search(NAMESPACE, query=state["question"], limit=2)
    return {"found": [f"{item.value['text']} ({item.value['source']})" for item in items]}


def answer(state: Question) -> Question:
    """Answer with what was found. A model that reads `found` would go here."""
    return {"answer": state["found"][0] if state["found"] else "There is nothing about it in the documents."}


def _store(runtime: Runtime[None]) -> BaseStore:
    store: BaseStore | None = runtime.store
    if store is None:
        raise RuntimeError("run it with a store: perdure dev, or graph.compile(store=...)")
    return store


graph = StateGraph(Question).add_sequence([read, search, answer]).add_edge(START, "read").compile()
