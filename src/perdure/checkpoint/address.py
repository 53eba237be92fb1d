"""Configs parsed at the door: which thread, namespace and checkpoint a caller means."""

from __future__ import annotations

from typing import Any, NamedTuple

from perdure.errors import InvalidConfigError
from perdure.types import RunnableConfig


class Address(NamedTuple):
    """A checkpoint, or the head of a namespace if `checkpoint_id` is None."""

    thread_id: str
    checkpoint_ns: str
    checkpoint_id: str | None


class Scope(NamedTuple):
    """What `list` walks over; None: not restricted."""

    thread_id: str | None
    checkpoint_ns: str | None
    checkpoint_id: str | None
    before: str | None


def parse_address(config: RunnableConfig) -> Address:
    """Read an address from a config.

    Raises:
        InvalidConfigError: It names no thread.
    """
    where = config.get("configurable") or {}
    if where.get("thread_id") is None:
        raise InvalidConfigError(
            "the config names no thread",
            hint='pass config={"configurable": {"thread_id": "..."}}: any text that names the conversation or job',
        )
    return Address(str(where["thread_id"]), where.get("checkpoint_ns") or "", _checkpoint_id(where))


def parse_checkpoint(config: RunnableConfig) -> tuple[str, str, str]:
    """Read an address from a config that must name a checkpoint.

    Raises:
        InvalidConfigError: It names no thread or no checkpoint.
    """
    address = parse_address(config)
    if address.checkpoint_id is None:
        raise InvalidConfigError(
            "the config names no checkpoint",
            hint="writes belong to a checkpoint: use the config that `put` returned",
        )
    return address.thread_id, address.checkpoint_ns, address.checkpoint_id


def parse_scope(config: RunnableConfig | None, before: RunnableConfig | None) -> Scope:
    """Read what `list` is restricted to."""
    where = (config or {}).get("configurable") or {}
    thread_id = where.get("thread_id")
    until = (before or {}).get("configurable") or {}
    return Scope(
        None if thread_id is None else str(thread_id),
        where.get("checkpoint_ns"),
        _checkpoint_id(where),
        _checkpoint_id(until),
    )


def _checkpoint_id(where: dict[str, Any]) -> str | None:
    found = where.get("checkpoint_id")
    return str(found) if found else None


def make_config(thread_id: str, checkpoint_ns: str, checkpoint_id: str | None) -> RunnableConfig:
    """Make the config of a checkpoint."""
    return {
        "configurable": {
            "thread_id": thread_id,
            "checkpoint_ns": checkpoint_ns,
            "checkpoint_id": checkpoint_id,
        }
    }
