"""Passing a message on while it is made: the pieces that a generator yields go to the stream mode `messages`.

A generator is asked for no more while the stream's reader is behind, so that it makes no more than is read.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable
from typing import TYPE_CHECKING, Any

from perdure.interop.chunks import WholeMessage, is_piece

if TYPE_CHECKING:
    from perdure.pregel.scope import TaskScope

MESSAGES = "messages"
"""The key of the state that a node's message goes to, if the node doesn't say."""


def passed_on(scope: TaskScope, pieces: Iterable[Any], id: str | None) -> Any:
    """Pass pieces on, and return the whole message."""
    whole = WholeMessage(id)
    for piece in pieces:
        scope.tell_message(whole.add(piece))
        scope.run.sink.wait()
    scope.tell_message(whole.end())
    return whole.message()


async def apassed_on(scope: TaskScope, pieces: AsyncIterable[Any] | Iterable[Any], id: str | None) -> Any:
    """Async twin of `passed_on`."""
    whole = WholeMessage(id)
    async for piece in _async(pieces):
        scope.tell_message(whole.add(piece))
        await scope.run.sink.await_()
    scope.tell_message(whole.end())
    return whole.message()


async def _async(pieces: AsyncIterable[Any] | Iterable[Any]) -> AsyncGenerator[Any, None]:
    if isinstance(pieces, AsyncIterable):
        async for piece in pieces:
            yield piece
    else:
        for piece in pieces:
            yield piece


class _Yielded:
    """What a node that is a generator has yielded: pieces of a message, and the node's update."""

    def __init__(self, scope: TaskScope) -> None:
        self._scope = scope
        self._whole = WholeMessage()
        self._update: Any = None

    def take(self, value: Any) -> None:
        if is_piece(value):
            self._scope.tell_message(self._whole.add(value))
        else:
            self._update = value

    def result(self, returned: Any = None) -> Any:
        """Return the node's result: what it has returned, or yielded last, or else the message."""
        self._scope.tell_message(self._whole.end())
        update = self._update if returned is None else returned
        message = self._whole.message()
        return {MESSAGES: [message]} if update is None and message is not None else update


def result_of(generator: Generator[Any, Any, Any], scope: TaskScope) -> Any:
    """Run a node that is a generator to its end, and return its result."""
    yielded = _Yielded(scope)
    try:
        while True:
            try:
                yielded.take(next(generator))
            except StopIteration as end:
                return yielded.result(end.value)
            scope.run.sink.wait()
    finally:
        generator.close()


async def aresult_of(generator: AsyncGenerator[Any, Any], scope: TaskScope) -> Any:
    """Async twin of `result_of`."""
    yielded = _Yielded(scope)
    try:
        async for value in generator:
            yielded.take(value)
            await scope.run.sink.await_()
    finally:
        await generator.aclose()
    return yielded.result()
