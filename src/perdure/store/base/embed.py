"""Texts to vectors, and how alike two vectors are."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from array import array
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, cast

from perdure.errors import StorageError, UsageError

EmbeddingsFunc = Callable[[Sequence[str]], list[list[float]]]
AEmbeddingsFunc = Callable[[Sequence[str]], Awaitable[list[list[float]]]]


class Embeddings(ABC):
    """Turns texts into vectors. Any object with these methods will do, such as LangChain's embeddings."""

    @abstractmethod
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the vectors of texts that are stored."""

    @abstractmethod
    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a text that is looked for."""

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Async twin of `embed_documents`; in a thread, unless it is overridden."""
        import asyncio

        return await asyncio.to_thread(self.embed_documents, texts)

    async def aembed_query(self, text: str) -> list[float]:
        """Async twin of `embed_query`; in a thread, unless it is overridden."""
        import asyncio

        return await asyncio.to_thread(self.embed_query, text)


class _Function(Embeddings):
    """A plain function of a list of texts."""

    def __init__(self, function: EmbeddingsFunc) -> None:
        self._function = function

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._function(texts)

    def embed_query(self, text: str) -> list[float]:
        return self._function([text])[0]


class _Coroutine(Embeddings):
    """A coroutine function of a list of texts."""

    def __init__(self, function: AEmbeddingsFunc) -> None:
        self._function = function

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise UsageError(
            "the store's embedding is a coroutine function, and the store was called synchronously",
            hint="use the store's async methods (aput, asearch, ...), or give it a plain function",
        )

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        return await self._function(texts)

    async def aembed_query(self, text: str) -> list[float]:
        return (await self._function([text]))[0]


def ensure_embeddings(embed: Embeddings | EmbeddingsFunc | AEmbeddingsFunc | str | None) -> Embeddings:
    """Return an object with the methods of `Embeddings`.

    Args:
        embed: Such an object; a function or coroutine function of a list of texts; or `provider:model`, which
            LangChain's `init_embeddings` knows.

    Raises:
        UsageError: It is something else, or LangChain isn't installed.
    """
    if isinstance(embed, str):
        try:
            from langchain.embeddings import init_embeddings  # type: ignore[import-not-found,unused-ignore]
        except ImportError as error:
            raise UsageError(
                f"embed={embed!r} names a model of LangChain, which isn't installed",
                hint="pip install langchain, or pass a function that turns a list of texts into vectors",
            ) from error
        return cast("Embeddings", init_embeddings(embed))
    if callable(getattr(embed, "embed_documents", None)):
        return cast("Embeddings", embed)
    if not callable(embed):
        raise UsageError(f"embed={embed!r} can't turn texts into vectors", hint="pass a function of a list of texts")
    call: Any = embed
    if inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(getattr(call, "__call__", None)):  # noqa: B004
        return _Coroutine(call)
    return _Function(call)


Distance = Literal["cosine", "inner_product", "l2"]
"""What makes two vectors alike: the angle between them, that and their lengths, or how near they are to each other."""


def pack(vector: Sequence[float], dims: int | None, distance: Distance = "cosine") -> bytes:
    """Return a vector as 32-bit floats of this machine's order; of length 1, if only its direction matters.

    Raises:
        StorageError: It has another number of dimensions than the index says.
    """
    if dims is not None and len(vector) != dims:
        raise StorageError(
            f"the embedding made a vector of {len(vector)} dimensions, and the index has {dims}",
            hint="set `dims` to what the embedding makes",
        )
    if distance != "cosine":
        return array("f", vector).tobytes()
    length = math.sqrt(math.fsum(x * x for x in vector)) or 1.0
    return array("f", [x / length for x in vector]).tobytes()


def similarity(one: bytes, other: bytes, distance: Distance = "cosine") -> float:
    """Return how alike two packed vectors are: cosine, inner product, or the distance below zero."""
    a, b = array("f"), array("f")
    a.frombytes(one)
    b.frombytes(other)
    if distance == "l2":
        return -math.dist(a, b)
    return sum(x * y for x, y in zip(a, b, strict=True))
