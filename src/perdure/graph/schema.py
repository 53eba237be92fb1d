"""From a state schema to channels: which keys there are, and by which rule each one changes."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Callable, Iterable
from typing import (
    Annotated,
    Any,
    NamedTuple,
    NotRequired,
    Required,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from perdure.channels import BinaryOperatorAggregate, DeltaChannel, LastValue
from perdure.channels.base import BaseChannel
from perdure.errors import GraphValidationError, UsageError
from perdure.managed import ManagedValue

ROOT = "__root__"
"""The only channel of a graph whose state is a bare type."""


class Schema(NamedTuple):
    """The channels and managed values that a schema declares, by key."""

    channels: dict[str, BaseChannel[Any, Any, Any]]
    managed: dict[str, type[ManagedValue]]

    @property
    def keys(self) -> list[str]:
        """The keys that channels hold."""
        return list(self.channels)


def parse_schema(schema: Any) -> Schema:
    """Return what a TypedDict, dataclass, Pydantic model or bare type declares.

    Raises:
        GraphValidationError: A type can't be resolved, or a reducer doesn't take two arguments.
    """
    if not is_record(schema):
        channel = _channel(ROOT, schema)
        if not isinstance(channel, BaseChannel):
            msg = f"a managed value can't be a whole state: {schema!r}"
            raise GraphValidationError(msg)
        return Schema({ROOT: channel}, {})
    found = Schema({}, {})
    for key, hint in resolved_hints(schema).items():
        made = _channel(key, hint)
        if isinstance(made, BaseChannel):
            found.channels[key] = made
        else:
            found.managed[key] = made
    return found


def is_record(schema: Any) -> bool:
    """Tell whether a type has keys: a TypedDict, dataclass, Pydantic model or other annotated class."""
    return inspect.isclass(schema) and get_origin(schema) is None and bool(_annotations(schema))


def _annotations(schema: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for base in reversed(schema.__mro__):
        found.update(inspect.get_annotations(base) if base is not object else {})
    return found


def resolved_hints(schema: Any) -> dict[str, Any]:
    """Return the type of each key.

    Raises:
        GraphValidationError: A name in them can't be resolved.
    """
    try:
        hints = get_type_hints(schema, include_extras=True)
    except NameError as error:
        name = getattr(schema, "__qualname__", schema)
        msg = f"the schema {name} names a type that can't be found: {error}"
        raise GraphValidationError(
            msg, hint="define the type at module level, or leave out `from __future__ import annotations`"
        ) from error
    fields = getattr(schema, "model_fields", None) or getattr(schema, "__dataclass_fields__", None)
    return {k: v for k, v in hints.items() if k in fields} if fields else hints


def _unwrap(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return a key's type and its metadata, whatever the order of Annotated, Required and NotRequired."""
    metadata: tuple[Any, ...] = ()
    while True:
        origin = get_origin(hint)
        if origin is Annotated:
            hint, *more = get_args(hint)
            metadata = (*more, *metadata)
        elif origin in (Required, NotRequired) or getattr(origin, "_name", "") in (
            "Required",
            "NotRequired",
            "ReadOnly",
        ):
            (hint,) = get_args(hint)
        else:
            return hint, metadata


def _channel(key: str, hint: Any) -> BaseChannel[Any, Any, Any] | type[ManagedValue]:
    typ, metadata = _unwrap(hint)
    for item in reversed(metadata):
        if isinstance(item, BaseChannel):
            return _named(item, typ, key)
        if inspect.isclass(item):
            if issubclass(item, ManagedValue):
                return item
            if issubclass(item, BaseChannel):
                return item(typ, key=key)
    if metadata and callable(metadata[-1]) and not inspect.isclass(metadata[-1]):
        return _reduced(key, typ, metadata[-1])
    return LastValue(typ, key)


def _named(channel: BaseChannel[Any, Any, Any], typ: Any, key: str) -> BaseChannel[Any, Any, Any]:
    named = copy.copy(channel)
    named.key = key
    if isinstance(channel, DeltaChannel) and channel.typ is None:
        named = DeltaChannel(channel.reducer, typ, key=key)
    return named


def _reduced(key: str, typ: Any, reducer: Callable[..., Any]) -> BaseChannel[Any, Any, Any]:
    try:
        parameters = inspect.signature(reducer).parameters.values()
    except ValueError:  # builtins without a signature are trusted
        return BinaryOperatorAggregate(typ, reducer, key)
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    takes_any = any(p.kind is p.VAR_POSITIONAL for p in inspect.signature(reducer).parameters.values())
    required = [p for p in positional if p.default is p.empty]
    if len(required) > 2 or (len(positional) < 2 and not takes_any):
        msg = (
            f"the reducer of {key!r} must take two arguments, (value, update) -> value; "
            f"{getattr(reducer, '__name__', reducer)!r} has the signature {inspect.signature(reducer)}"
        )
        raise GraphValidationError(msg)
    return BinaryOperatorAggregate(typ, reducer, key)


def mapper_of(schema: Any) -> Callable[[dict[str, Any]], Any] | None:
    """Return what turns a dict of channels into an object of the schema; None where the dict is it."""
    if is_typeddict(schema) or not is_record(schema) or issubclass(schema, dict):
        return None
    return lambda state: schema(**state)


def checks_of(schemas: Iterable[Any]) -> dict[str, Callable[[Any], None]]:
    """Return what checks each key's value against its declared type; it raises ValueError.

    Raises:
        UsageError: Pydantic, which checks, isn't installed, or a type isn't one that it knows.
    """
    try:
        from pydantic import ConfigDict, TypeAdapter
        from pydantic.errors import PydanticUserError
    except ImportError as error:
        raise UsageError("a state is validated by Pydantic", hint="pip install pydantic") from error

    found: dict[str, Callable[[Any], None]] = {}
    for schema in schemas:
        hints = resolved_hints(schema) if is_record(schema) else {ROOT: schema}
        for key, hint in hints.items():
            if key in found or not isinstance(_channel(key, hint), BaseChannel):
                continue
            try:
                adapter: Any = TypeAdapter(_bare(hint), config=ConfigDict(arbitrary_types_allowed=True))
            except PydanticUserError:
                adapter = TypeAdapter(_bare(hint))  # a type with a config of its own
            found[key] = _strict(adapter, _bare(hint))
    return found


def _strict(adapter: Any, kind: Any) -> Callable[[Any], None]:
    is_record_type = isinstance(kind, type) and (hasattr(kind, "model_fields") or dataclasses.is_dataclass(kind))

    def check(value: Any) -> None:
        if is_record_type and not isinstance(value, kind):  # Pydantic would take a dict for one
            raise ValueError(f"Input should be an instance of {kind.__name__}")
        adapter.validate_python(value, strict=True)

    return check


def declared_checks(schemas: Iterable[Any]) -> dict[str, Callable[[Any], None]]:
    """Return what checks the keys of Pydantic models as the models would when a node reads them.

    Left out: keys with a reducer, for each step would check all that they have gathered; types that Pydantic can't
    check one by one; and the models' own validator functions, which may need the whole model.
    """
    found: dict[str, Callable[[Any], None]] = {}
    models: list[Any] = [one for one in schemas if inspect.isclass(one) and hasattr(one, "__pydantic_fields__")]
    for schema in models:
        from pydantic import TypeAdapter
        from pydantic.errors import PydanticUserError

        hints = resolved_hints(schema)
        own = schema.__pydantic_decorators__
        if any(one.info.mode != "after" for one in own.model_validators.values()):
            continue  # it may take what its fields' types don't
        skipped = {key for one in own.field_validators.values() if one.info.mode != "after" for key in one.info.fields}
        for key, field in schema.__pydantic_fields__.items():
            if key in found or not skipped.isdisjoint((key, "*")) or type(_channel(key, hints[key])) is not LastValue:
                continue
            hint: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
            try:
                adapter: Any = TypeAdapter(hint, config=schema.model_config)
            except PydanticUserError:
                try:
                    adapter = TypeAdapter(hint)  # a type with a config of its own
                except PydanticUserError:
                    continue
            found[key] = adapter.validate_python
    return found


def _bare(hint: Any) -> Any:
    """Return a key's type without what says how its channel changes."""
    while get_origin(hint) in (Required, NotRequired, Annotated):
        hint = hint.__origin__ if get_origin(hint) is Annotated else hint.__args__[0]
    return hint


def json_schema(schema: Any, title: str) -> dict[str, Any]:
    """Return the JSON schema of a state.

    Raises:
        UsageError: Pydantic, which makes it, isn't installed.
    """
    try:
        from pydantic import TypeAdapter, create_model
    except ImportError as error:
        raise UsageError("JSON schemas are made by Pydantic", hint="pip install pydantic") from error
    if not is_typeddict(schema):
        return {**TypeAdapter(schema).json_schema(), "title": title}
    fields = {key: (_unwrap(hint)[0], None) for key, hint in resolved_hints(schema).items()}
    required = schema.__required_keys__
    made = create_model(title, **{k: (typ, ...) if k in required else (typ, d) for k, (typ, d) in fields.items()})  # type: ignore[call-overload]
    return cast("dict[str, Any]", made.model_json_schema())
