"""From a `StateGraph` to the plan that the engine runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perdure.channels import (
    BinaryOperatorAggregate,
    EphemeralValue,
    LastValueAfterFinish,
    NamedBarrierValue,
    NamedBarrierValueAfterFinish,
)
from perdure.constants import END, START, TAG_HIDDEN
from perdure.graph.schema import ROOT, mapper_of
from perdure.graph.writes import ResultWriter, Router
from perdure.pregel.commands import branch_channel
from perdure.pregel.plan import Branch, Channels, Node, StateReader, ValueReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from perdure.graph.state import BranchSpec, StateGraph
    from perdure.pregel.task import Task

    Builder = StateGraph[Any, Any, Any, Any]


def join_channel(starts: tuple[str, ...], end: str) -> str:
    """Name the barrier at which a node waits for several others."""
    return f"join:{'+'.join(starts)}:{end}"


def compile_plan(builder: Builder) -> dict[str, Any]:
    """Return the nodes and channels of a validated builder, as `Pregel` takes them."""
    keys = builder.schemas[builder.output_schema].keys
    stream = list(builder.channels)
    return {
        "nodes": {START: _start(builder), **{name: _node(builder, name) for name in builder.nodes}},
        "channels": _channels(builder),
        "input_channels": START,
        "output_channels": ROOT if keys == [ROOT] else keys,
        "stream_channels": ROOT if stream == [ROOT] else stream,
    }


def _channels(builder: Builder) -> Channels:
    channels: Channels = dict(builder.channels)
    channels[START] = EphemeralValue(builder.input_schema, True, START)
    for name, node in builder.nodes.items():
        key = branch_channel(name)
        channels[key] = LastValueAfterFinish(Any, key) if node.defer else EphemeralValue(Any, False, key)
    for starts, end in sorted(builder.waiting_edges):
        if end != END:
            key = join_channel(starts, end)
            barrier = NamedBarrierValueAfterFinish if builder.nodes[end].defer else NamedBarrierValue
            channels[key] = barrier(str, set(starts), key)
    return channels


def _start(builder: Builder) -> Node:
    return Node(
        name=START,
        action=None,
        triggers=(START,),
        reader=ValueReader(START),
        write=_writer(builder, START, builder.schemas[builder.input_schema].keys),
        branches=_branches(builder, START, builder.input_schema),
        tags=(TAG_HIDDEN,),
    )


def _node(builder: Builder, name: str) -> Node:
    spec = builder.nodes[name]
    joins = [join_channel(starts, end) for starts, end in sorted(builder.waiting_edges) if end == name]
    return Node(
        name=name,
        action=spec.action,
        triggers=(branch_channel(name), *joins),
        reader=_reader(builder, spec.input_schema),
        write=_writer(builder, name, list(builder.channels)),
        branches=_branches(builder, name, spec.input_schema),
        retry=spec.retry or builder.defaults.retry,
        cache=spec.cache or builder.defaults.cache,
        timeout=spec.timeout or (None if spec.action.runs_in_thread else builder.defaults.timeout),
        handler=_handler(builder, name),
        metadata=spec.metadata,
        trace=spec.trace,
    )


def _handler(builder: Builder, name: str) -> Node | None:
    spec = builder.nodes[name]
    action = spec.error_handler or builder.defaults.error_handler
    if action is None:
        return None
    called = f"__error_handler__{name}" if spec.error_handler is not None else "__default_error_handler__"
    return Node(
        name=called,
        action=action,
        triggers=(),
        reader=_reader(builder, spec.input_schema),
        write=_writer(builder, called, list(builder.channels)),
    )


def _reader(builder: Builder, schema: Any) -> StateReader | ValueReader:
    parsed = builder.schemas[schema]
    if parsed.keys == [ROOT]:
        return ValueReader(ROOT)
    return StateReader(parsed.keys, parsed.managed, mapper_of(schema))


def _root_or(reader: StateReader | ValueReader) -> StateReader:
    if isinstance(reader, ValueReader):
        return StateReader([reader.name], None, lambda state: state.get(ROOT))
    return reader


def _writer(builder: Builder, name: str, keys: list[str]) -> Callable[[Any, Task], None]:
    fixed: list[tuple[str, Any]] = [
        (branch_channel(end), None) for start, end in builder.edge_order if start == name and end != END
    ]
    for starts, end in sorted(builder.waiting_edges):
        if name in starts and end != END:
            fixed.append((join_channel(starts, end), name))
    on_write = {
        key: prepare
        for key, channel in builder.channels.items()
        if isinstance(channel, BinaryOperatorAggregate)
        and (prepare := getattr(channel.operator, "on_write", None)) is not None
    }
    return ResultWriter(keys, fixed, on_write).write


def _branches(builder: Builder, name: str, schema: Any) -> tuple[Branch, ...]:
    specs: dict[str, BranchSpec] = builder.branches.get(name, {})
    reader = _root_or(_reader(builder, schema))
    return tuple(
        Branch(spec.name, spec.action, reader, Router(name, spec.name, spec.ends, set(builder.nodes)).route)
        for spec in specs.values()
    )
