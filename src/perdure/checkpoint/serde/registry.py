"""The types that stored bytes may name: looked up here, never imported.

A stored value carries its type's name, `module:qualname` unless another was given. Reading looks the name up;
the only ways into the registry are this program's own class objects: from a graph's schemas, by `register`,
and by writing a value of the class.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar, overload

from perdure.checkpoint.serde.schemas import collect_types
from perdure.checkpoint.serde.shapes import Rebuild, TakeApart, shape_of
from perdure.errors import SerializationError, UsageError

__all__ = ["TypeRegistry", "collect_types", "default_registry", "register"]

C = TypeVar("C", bound=type)


class Entry(NamedTuple):
    """A registered type."""

    name: str
    cls: type
    signature: tuple[Any, ...]
    take_apart: TakeApart
    rebuild: Rebuild


def type_name(cls: type) -> str:
    """Return the name that values of the class are stored under, unless another is registered."""
    return f"{cls.__module__}:{cls.__qualname__}"


class TypeRegistry:
    """Types by name and by class. Additive; safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_name: dict[str, Entry] = {}
        self._by_class: dict[type, Entry] = {}

    def register(
        self,
        cls: type,
        *,
        name: str | None = None,
        encode: TakeApart | None = None,
        decode: Rebuild | None = None,
    ) -> None:
        """Register a class, see `perdure.checkpoint.serde.register`."""
        entry = _entry(cls, name, encode, decode)
        if entry is None:
            raise UsageError(
                f"values of {type_name(cls)} can't be taken apart without help",
                hint="pass `encode` (value to data) and `decode` (data to value)",
            )
        self._add(entry)

    def register_types(self, types: Iterable[type]) -> None:
        """Register classes whose shape is known; skip others and those that are registered."""
        for cls in types:
            if cls not in self._by_class and (entry := _entry(cls, None, None, None)):
                self._add(entry)

    def _add(self, entry: Entry) -> None:
        with self._lock:
            self._by_name[entry.name] = entry
            self._by_class[entry.cls] = entry

    def has(self, cls: type) -> bool:
        """Tell whether the class itself is registered."""
        return cls in self._by_class

    def names(self) -> list[str]:
        """Return the names that values may be stored under now."""
        return list(self._by_name)

    def for_value(self, cls: type) -> Entry | None:
        """Return the entry to write values of a class with, registering the class if need be.

        Raises:
            SerializationError: Another class of this name, with other fields, is registered.
        """
        entry = self._by_class.get(cls) or _entry(cls, None, None, None)
        if entry is None:
            return None
        holder = self._by_name.get(entry.name)
        if holder is None:
            self._add(entry)
        elif holder.cls is not cls and holder.signature != entry.signature:
            raise SerializationError(
                f"two classes are named {entry.name} and have different fields",
                hint="register one of them under another name: `perdure.checkpoint.serde.register(cls, name=...)`",
            )
        return entry

    def for_name(self, name: str) -> Entry | None:
        """Return the entry of a stored name, None if it isn't registered.

        A subclass of a registered class counts as registered with it; so do LangChain's messages, if installed.
        """
        entry = self._by_name.get(name)
        if entry is not None:
            return entry
        if name in _MESSAGES:
            self.register_types(_messages())
        for cls in list(self._by_class):
            for sub in _subclasses(cls):
                if type_name(sub) == name:
                    self.register_types((sub,))
        return self._by_name.get(name)


def _entry(cls: type, name: str | None, encode: TakeApart | None, decode: Rebuild | None) -> Entry | None:
    name = name or type_name(cls)
    if encode and decode:
        return Entry(name, cls, ("custom",), encode, decode)
    shape = shape_of(cls)
    if shape is None:
        return None
    signature = (shape.kind, *shape.parts)
    return Entry(name, cls, signature, encode or shape.take_apart, decode or shape.rebuild)


_MESSAGES = frozenset(
    f"langchain_core.messages.{module}:{cls}{kind}"
    for module, cls in (
        ("ai", "AIMessage"),
        ("chat", "ChatMessage"),
        ("function", "FunctionMessage"),
        ("human", "HumanMessage"),
        ("system", "SystemMessage"),
        ("tool", "ToolMessage"),
    )
    for kind in ("", "Chunk")
) | {"langchain_core.messages.modifier:RemoveMessage"}


def _messages() -> Iterator[type]:
    try:
        from langchain_core import messages
    except ImportError:
        return
    for name in _MESSAGES:
        cls = getattr(messages, name.partition(":")[2], None)
        if isinstance(cls, type):
            yield cls


def _subclasses(cls: type) -> Iterator[type]:
    subclasses: list[type] = type.__subclasses__(cls)
    for sub in subclasses:
        yield sub
        yield from _subclasses(sub)


def _with_own_types() -> TypeRegistry:
    from perdure import types

    registry = TypeRegistry()
    registry.register_types((types.Command, types.Interrupt, types.Overwrite, types.TimeoutPolicy, types.StateUpdate))
    return registry


default_registry = _with_own_types()
"""The registry of this process; serializers use it unless they are given another."""


@overload
def register(
    cls: C, *, name: str | None = None, encode: TakeApart | None = None, decode: Rebuild | None = None
) -> C: ...
@overload
def register(
    cls: None = None,
    *,
    name: str | None = None,
    encode: TakeApart | None = None,
    decode: Rebuild | None = None,
) -> Callable[[C], C]: ...
def register(
    cls: C | None = None,
    *,
    name: str | None = None,
    encode: TakeApart | None = None,
    decode: Rebuild | None = None,
) -> C | Callable[[C], C]:
    """Let values of a class be stored and read; also a decorator, with or without arguments.

    Dataclasses, Pydantic models, attrs classes, NamedTuples, enums and subclasses of built-in types need no
    functions; other classes need both.

    Args:
        cls: The class.
        name: What its values are stored under; `module:qualname` by default. Give one to be free
            to rename or move the class.
        encode: Turns a value into storable data.
        decode: Turns such data into a value. Runs on stored bytes: it must only build.
    """

    def add(cls: C) -> C:
        default_registry.register(cls, name=name, encode=encode, decode=decode)
        return cls

    return add if cls is None else add(cls)
