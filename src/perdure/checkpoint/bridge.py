"""Let a saver of one colour serve callers of the other."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

    from perdure.checkpoint.base import BaseCheckpointSaver, CheckpointTuple

_CHUNK = 16  # tuples fetched a hop by an async iteration over a sync saver

_END: Any = object()


def _overrides(saver: BaseCheckpointSaver[Any], name: str) -> bool:
    from perdure.checkpoint.base import BaseCheckpointSaver

    return getattr(type(saver), name) is not getattr(BaseCheckpointSaver, name)


def has_sync(saver: BaseCheckpointSaver[Any], name: str) -> bool:
    """Tell whether the saver implements the sync method itself."""
    return _overrides(saver, name)


def has_async(saver: BaseCheckpointSaver[Any], name: str) -> bool:
    """Tell whether the saver implements the async method itself."""
    return _overrides(saver, "a" + name)


@cache
def takes_task_path(cls: type[BaseCheckpointSaver[Any]]) -> bool:
    """Tell whether the class's own `put_writes` has the parameter `task_path`; older ones lack it."""
    import inspect

    from perdure.checkpoint.base import BaseCheckpointSaver

    sync = cls.put_writes is not BaseCheckpointSaver.put_writes
    own = inspect.signature(cls.put_writes if sync else cls.aput_writes).parameters
    return "task_path" in own or any(p.kind is p.VAR_KEYWORD for p in own.values())


def _missing(saver: BaseCheckpointSaver[Any], name: str) -> NotImplementedError:
    return NotImplementedError(f"{type(saver).__name__} implements neither {name} nor a{name}")


def fitting(saver: BaseCheckpointSaver[Any], name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Leave out the `task_path` that the saver's `put_writes` doesn't take."""
    # The class is hashable; the type of one that is generic and has protocols in it hides that.
    cls: Any = type(saver)
    return args[:3] if name == "put_writes" and not takes_task_path(cls) else args


def call_sync(saver: BaseCheckpointSaver[Any], name: str, *args: Any, **kwargs: Any) -> Any:
    """Run the saver's async method to its end, for a sync caller."""
    if not has_async(saver, name):
        raise _missing(saver, name)
    args = fitting(saver, name, args)
    return run_on_loop(saver, getattr(saver, "a" + name)(*args, **kwargs))


async def call_async(saver: BaseCheckpointSaver[Any], name: str, *args: Any, **kwargs: Any) -> Any:
    """Run the saver's sync method in a worker thread, for an async caller."""
    if not has_sync(saver, name):
        raise _missing(saver, name)
    return await to_thread(getattr(saver, name), *fitting(saver, name, args), **kwargs)


async def to_thread(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a sync function in a worker thread."""
    import asyncio

    return await asyncio.to_thread(function, *args, **kwargs)


def iterate_sync(saver: BaseCheckpointSaver[Any], config: Any, **kwargs: Any) -> Iterator[CheckpointTuple]:
    """Walk the saver's async `alist`, for a sync caller, one item a hop."""
    if not has_async(saver, "list"):
        raise _missing(saver, "list")
    return _walk_on_loop(saver, saver.alist(config, **kwargs))


def _walk_on_loop(saver: BaseCheckpointSaver[Any], items: AsyncIterator[CheckpointTuple]) -> Iterator[CheckpointTuple]:
    async def step() -> Any:
        return await anext(items, _END)

    async def close() -> None:
        aclose = getattr(items, "aclose", None)
        if aclose is not None:
            await aclose()

    try:
        while (item := run_on_loop(saver, step())) is not _END:
            yield item
    finally:
        run_on_loop(saver, close())


def iterate_async(saver: BaseCheckpointSaver[Any], config: Any, **kwargs: Any) -> AsyncIterator[CheckpointTuple]:
    """Walk the saver's sync `list` in worker threads, for an async caller."""
    if not has_sync(saver, "list"):
        raise _missing(saver, "list")
    return _walk_in_threads(lambda: saver.list(config, **kwargs))


async def _walk_in_threads(
    start: Callable[[], Iterator[CheckpointTuple]],
) -> AsyncIterator[CheckpointTuple]:
    from itertools import islice

    items = await to_thread(start)
    try:
        while chunk := await to_thread(lambda: list(islice(items, _CHUNK))):
            for item in chunk:
                yield item
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            await to_thread(close)


def run_on_loop(saver: Any, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Wait for a coroutine that runs on the saver's loop, or on one kept for this purpose."""
    import asyncio

    loop = getattr(saver, "loop", None)
    if not isinstance(loop, asyncio.AbstractEventLoop) or not loop.is_running():
        loop = _private_loop.get()
    if _is_current(loop):
        from perdure.errors import UsageError

        coroutine.close()
        raise UsageError(
            f"a sync method of {type(saver).__name__}, which is async, was called on its own event loop",
            hint="call the async method, or call this one from another thread",
        )
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result()


def _is_current(loop: asyncio.AbstractEventLoop) -> bool:
    import asyncio

    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


class _PrivateLoop:
    """One event loop in a daemon thread for all bridged savers of the process; anew after a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0

    def get(self) -> asyncio.AbstractEventLoop:
        import asyncio
        import os

        with self._lock:
            if self._loop is None or self._pid != os.getpid():
                self._loop = asyncio.new_event_loop()
                self._pid = os.getpid()
                threading.Thread(target=self._loop.run_forever, name="perdure-saver-bridge", daemon=True).start()
            return self._loop


_private_loop = _PrivateLoop()
