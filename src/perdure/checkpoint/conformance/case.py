"""What a case is, and how one text of it serves both colours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple

from perdure.checkpoint.base import BaseCheckpointSaver, Checkpoint
from perdure.checkpoint.ids import new_id
from perdure.types import RunnableConfig

Colour = Literal["sync", "async"]
COLOURS: Final[tuple[Colour, ...]] = ("sync", "async")


class Failure(AssertionError):
    """The saver doesn't keep the contract."""


class Case(NamedTuple):
    """A named piece of the contract.

    Attributes:
        name: What the saver must do.
        body: Does it, and raises `Failure`.
        needs: What it can only be asked of: savers with `leases`, with `rules`, with a `commit` of their own.
    """

    name: str
    body: Callable[[Any], Awaitable[None]]
    needs: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


def collector(cases: list[Case], *needs: str) -> Callable[[Callable[[Any], Awaitable[None]]], None]:
    """Make a decorator that adds cases to a list, named as their functions are."""

    def add(body: Callable[[Any], Awaitable[None]]) -> None:
        cases.append(Case(body.__name__, body, needs))

    return add


def paint(saver: BaseCheckpointSaver[Any], colour: Colour) -> Any:
    """Give a saver async methods that call its sync or its async ones; `list`, `threads` and `rules` return lists."""
    return _Sync(saver) if colour == "sync" else _Async(saver)


_WALKS = ("list", "threads", "rules")


class _Sync:
    def __init__(self, saver: BaseCheckpointSaver[Any]) -> None:
        self.saver = saver

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self.saver, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            return list(result) if name in _WALKS else result

        return call


class _Async:
    def __init__(self, saver: BaseCheckpointSaver[Any]) -> None:
        self.saver = saver

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self.saver, f"a{name}")

        async def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            return [item async for item in result] if name in _WALKS else await result

        return call


async def at_once(saver: Any, call: Callable[[Any, int], Awaitable[None]], numbers: Iterable[int]) -> None:
    """Call something several times at once: in threads with the sync colour, else on the event loop."""

    async def one(n: int) -> None:
        await call(saver, n)

    if isinstance(saver, _Sync):
        calls: list[Any] = [asyncio.to_thread(lambda n=n: asyncio.run(one(n))) for n in numbers]  # type: ignore[misc]
    else:
        calls = [one(n) for n in numbers]
    failed = [error for error in await asyncio.gather(*calls, return_exceptions=True) if error is not None]
    if failed:
        raise failed[0]


def expect(actual: Any, expected: Any, what: str) -> None:
    """Compare.

    Raises:
        Failure: They differ.
    """
    if actual != expected:
        raise Failure(f"{what}: expected {expected!r}, got {actual!r}")


async def expect_error(kind: type[Exception], call: Awaitable[Any], what: str) -> None:
    """Wait for a call that must fail.

    Raises:
        Failure: It didn't, or otherwise.
    """
    try:
        result = await call
    except kind:
        return
    except Exception as e:
        raise Failure(f"{what}: expected {kind.__name__}, got {e!r}") from e
    raise Failure(f"{what}: expected {kind.__name__}, got the result {result!r}")


def place(thread_id: str = "t", checkpoint_ns: str = "", checkpoint_id: str | None = None) -> RunnableConfig:
    """Make a config."""
    where = {"thread_id": thread_id, "checkpoint_ns": checkpoint_ns}
    if checkpoint_id is not None:
        where["checkpoint_id"] = checkpoint_id
    return {"configurable": where}


def checkpoint(
    values: Mapping[str, Any] | None = None,
    versions: Mapping[str, Any] | None = None,
    *,
    after: str | None = None,
) -> Checkpoint:
    """Make a checkpoint; channels without a given version have version 1."""
    held = dict(values or {})
    return {
        "v": 4,
        "id": new_id(after),
        "ts": "2026-01-02T03:04:05.678901+00:00",
        "channel_values": held,
        "channel_versions": dict(versions) if versions is not None else dict.fromkeys(held, 1),
        "versions_seen": {"__input__": {}, "node": {"x": 1}},
        "updated_channels": sorted(held),
    }


async def put(
    saver: Any,
    values: Mapping[str, Any] | None = None,
    *,
    config: RunnableConfig | None = None,
    versions: Mapping[str, Any] | None = None,
    new: Mapping[str, Any] | None = None,
    **metadata: Any,
) -> RunnableConfig:
    """Put a checkpoint as a child of the config's; return its config."""
    config = config or place()
    made = checkpoint(values, versions, after=config["configurable"].get("checkpoint_id"))
    about = {"source": "loop", "step": 0, "parents": {}, **metadata}
    changed = dict(made["channel_versions"] if new is None else new)
    result: RunnableConfig = await saver.put(config, made, about, changed)
    return result


def id_of(config: RunnableConfig) -> str:
    """Return the checkpoint id of a config."""
    found: str = config["configurable"]["checkpoint_id"]
    return found


async def ids(saver: Any, *args: Any, **kwargs: Any) -> list[str]:
    """Return the ids that `list` gives."""
    return [id_of(item.config) for item in await saver.list(*args, **kwargs)]


async def values(saver: Any, config: RunnableConfig) -> dict[str, Any]:
    """Return the channel values of a checkpoint.

    Raises:
        Failure: There is no such checkpoint.
    """
    found = await saver.get_tuple(config)
    if found is None:
        raise Failure(f"there is no checkpoint {config!r}")
    held: dict[str, Any] = found.checkpoint["channel_values"]
    return held
