"""`StateGraph`: build a graph of nodes over a shared state, and compile it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, Self, get_args, get_origin, get_type_hints

from perdure.constants import END, NS_END, NS_SEP, START
from perdure.errors import GraphValidationError
from perdure.graph.compiler import compile_plan
from perdure.graph.schema import Schema, checks_of, declared_checks, is_record, json_schema, mapper_of, parse_schema
from perdure.pregel.action import Action, name_of, timeout_of
from perdure.pregel.main import Pregel
from perdure.pregel.plan import policies_of
from perdure.types import All, CachePolicy, Checkpointer, Command, Migration, RetryPolicy, TimeoutPolicy, TracePolicy
from perdure.typing import ContextT, InputT, OutputT, StateT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perdure.graph.drawing import Graph
    from perdure.types import BusyPolicy, RunnableConfig

__all__ = ["CompiledStateGraph", "StateGraph"]


def _any_parameters(cls: type[Any], _parameters: Any) -> type[Any]:
    """Let annotations leave out type parameters at run time, as type checkers do."""
    return cls


class StateNodeSpec(NamedTuple):
    """A node as it was added."""

    action: Action
    input_schema: Any
    defer: bool
    metadata: dict[str, Any] | None
    retry: tuple[RetryPolicy, ...]
    cache: CachePolicy | None
    timeout: TimeoutPolicy | None
    ends: dict[str, str]
    error_handler: Action | None = None
    trace: TracePolicy | None = None


class NodeDefaults(NamedTuple):
    """What nodes have that don't say otherwise."""

    retry: tuple[RetryPolicy, ...] = ()
    cache: CachePolicy | None = None
    error_handler: Action | None = None
    timeout: TimeoutPolicy | None = None


class BranchSpec(NamedTuple):
    """A conditional edge as it was added."""

    name: str
    action: Action
    ends: dict[Hashable, str] | None


class StateGraph(Generic[StateT, ContextT, InputT, OutputT]):
    """A graph whose nodes read and write a shared state.

    A node is a function of the state (or of a part of it, by its annotation) that returns a dict of updates. Keys with
    a reducer, as in `Annotated[list, operator.add]`, combine updates; the others take the last one.

    Args:
        state_schema: A TypedDict, dataclass or Pydantic model.
        context_schema: The type of the run's `context`, which nodes read as `runtime.context`.
        input_schema: What a run takes; the state by default.
        output_schema: What a run returns; the state by default.

    Raises:
        GraphValidationError: A schema can't be used.
    """

    if not TYPE_CHECKING:
        __class_getitem__ = classmethod(_any_parameters)

    def __init__(
        self,
        state_schema: type[StateT],
        context_schema: type[ContextT] | None = None,
        *,
        input_schema: type[InputT] | None = None,
        output_schema: type[OutputT] | None = None,
    ) -> None:
        self.nodes: dict[str, StateNodeSpec] = {}
        self.edges: set[tuple[str, str]] = set()
        self.waiting_edges: set[tuple[tuple[str, ...], str]] = set()
        self.branches: dict[str, dict[str, BranchSpec]] = {}
        self.schemas: dict[Any, Schema] = {}
        self.state_schema = state_schema
        self.input_schema: Any = input_schema or state_schema
        self.output_schema: Any = output_schema or state_schema
        self.context_schema = context_schema
        self.edge_order: list[tuple[str, str]] = []
        self.defaults = NodeDefaults()
        for schema in (self.state_schema, self.input_schema, self.output_schema):
            self.add_schema(schema, is_state=schema is self.state_schema)

    # -- schemas

    def add_schema(self, schema: Any, *, is_state: bool = False) -> None:
        """Add the keys of a schema to the state."""
        if schema in self.schemas:
            return
        parsed = parse_schema(schema)
        if parsed.managed and not is_state and schema in (self.input_schema, self.output_schema):
            names = ", ".join(parsed.managed)
            msg = f"managed values can't be input or output: {names}"
            raise GraphValidationError(msg)
        known = self._all_channels()
        for key, channel in parsed.channels.items():
            other = known.get(key)
            if other is None or other == channel:
                continue
            if type(channel).__name__ == "LastValue":
                parsed.channels[key] = other  # a plain key in a narrower schema reads the state's channel
            elif type(other).__name__ != "LastValue" or key in self.schemas[self.state_schema].channels:
                msg = f"the key {key!r} has two different rules: {type(other).__name__} and {type(channel).__name__}"
                raise GraphValidationError(msg, hint="annotate it with the same reducer in every schema")
        self.schemas[schema] = parsed

    def _all_channels(self) -> dict[str, Any]:
        return {key: channel for parsed in self.schemas.values() for key, channel in parsed.channels.items()}

    @property
    def channels(self) -> dict[str, Any]:
        """The state's channels by key."""
        return self._all_channels()

    @property
    def managed(self) -> dict[str, Any]:
        """The managed values by key."""
        return {key: manager for parsed in self.schemas.values() for key, manager in parsed.managed.items()}

    # -- nodes

    def add_node(
        self,
        node: str | Callable[..., Any] | Any,
        action: Callable[..., Any] | Any | None = None,
        *,
        defer: bool = False,
        metadata: dict[str, Any] | None = None,
        input_schema: type[Any] | None = None,
        retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
        cache_policy: CachePolicy | None = None,
        error_handler: Callable[..., Any] | Any | None = None,
        destinations: dict[str, str] | tuple[str, ...] | None = None,
        timeout: float | timedelta | TimeoutPolicy | None = None,
        trace_policy: TracePolicy | None = None,
    ) -> Self:
        """Add a node.

        Args:
            node: Its name, or the action, whose name it then gets.
            action: A function, coroutine function, callable object, or object with `invoke`/`ainvoke`.
            defer: Run it only when nothing else is left to run.
            metadata: Given to the node's config.
            input_schema: What it reads; by default the annotation of its first parameter, or the state.
            retry_policy: When and how often to try again; of several, the first that matches.
            cache_policy: How its results may be used again for the same input; needs `compile(cache=...)`.
            error_handler: Called with the node's input, and the failure as `error` (a `NodeError`), when the node has
                failed for good; what it returns takes the place of the node's result. See `perdure.pregel.handling`.
            destinations: Where its Commands may go; only for drawings.
            timeout: Seconds that an attempt of a coroutine function may take.
            trace_policy: What traces may tell of its input and output.

        Raises:
            GraphValidationError: The name is taken or reserved, or the action isn't callable.
        """
        if not isinstance(node, str):
            if action is not None:
                msg = "the first of two arguments of add_node is the node's name"
                raise GraphValidationError(msg)
            node, action = name_of(node), node
        if action is None:
            msg = f"node {node!r} has no action"
            raise GraphValidationError(msg, hint=f"add_node({node!r}, function)")
        self._check_name(node)
        made = Action(action)
        hints = _hints(made.target)
        schema = input_schema or _first_parameter(made.target, hints) or self.state_schema
        if schema is not None:
            self.add_schema(schema)
        self.nodes[node] = StateNodeSpec(
            made,
            schema,
            defer,
            metadata,
            policies_of(retry_policy),
            cache_policy,
            timeout_of(node, made, timeout),
            _destinations(destinations, hints),
            None if error_handler is None else Action(error_handler),
            trace_policy,
        )
        return self

    def set_node_defaults(
        self,
        *,
        retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
        cache_policy: CachePolicy | None = None,
        error_handler: Callable[..., Any] | Any | None = None,
        timeout: float | timedelta | TimeoutPolicy | None = None,
    ) -> Self:
        """Say what nodes have that don't say otherwise, whenever they were added; not those of subgraphs.

        Args:
            retry_policy: See `add_node`.
            cache_policy: See `add_node`.
            error_handler: See `add_node`.
            timeout: See `add_node`; only for coroutine functions.
        """
        handler = None if error_handler is None else Action(error_handler)
        self.defaults = NodeDefaults(policies_of(retry_policy), cache_policy, handler, TimeoutPolicy.of(timeout))
        return self

    def _check_name(self, name: str) -> None:
        problem = None
        if name in (START, END):
            problem = "is reserved"
        elif name in self.nodes:
            problem = "is there already"
        elif not name or any(sep in name for sep in (NS_SEP, NS_END)):
            problem = f"must be non-empty and without {NS_SEP!r} and {NS_END!r}"
        if problem:
            msg = f"the node name {name!r} {problem}"
            raise GraphValidationError(msg, node=name)

    # -- edges

    def add_edge(self, start_key: str | list[str], end_key: str) -> Self:
        """Run a node after another one, or after all of a list.

        Raises:
            GraphValidationError: The edge starts at END or ends at START, or a node of the list isn't there.
        """
        starts = [start_key] if isinstance(start_key, str) else list(start_key)
        if END in starts:
            msg = "an edge can't start at END"
            raise GraphValidationError(msg)
        if end_key == START:
            msg = "an edge can't end at START"
            raise GraphValidationError(msg)
        if isinstance(start_key, str):
            if (start_key, end_key) not in self.edges:
                self.edge_order.append((start_key, end_key))
            self.edges.add((start_key, end_key))
            return self
        for start in starts:
            if start not in self.nodes:
                msg = f"an edge waits for {start!r}, which isn't a node"
                raise GraphValidationError(msg, hint="add the nodes before the edge", node=start)
        self.waiting_edges.add((tuple(starts), end_key))
        return self

    def add_conditional_edges(
        self,
        source: str,
        path: Callable[..., Any] | Any,
        path_map: dict[Hashable, str] | list[str] | None = None,
    ) -> Self:
        """Choose what runs after a node.

        Args:
            source: The node.
            path: A function of the state, the node's own update included, that answers with a node's name, a `Send`,
                END, or a list of these.
            path_map: From answer to node, or the list of nodes that it may answer with.

        Raises:
            GraphValidationError: The node has a branch of this name already.
        """
        action = Action(path)
        name = name_of(path) if not (inspect.isfunction(path) and path.__name__ == "<lambda>") else "condition"
        mine = self.branches.setdefault(source, {})
        if name in mine:
            if name != "condition":
                msg = f"node {source!r} has a branch {name!r} already"
                raise GraphValidationError(msg, node=source)
            name = f"condition{len(mine)}"
        mine[name] = BranchSpec(name, action, _ends(path_map, action))
        return self

    def add_sequence(self, nodes: Sequence[Any]) -> Self:
        """Add nodes that run one after the other; each is an action or a (name, action) pair.

        Raises:
            GraphValidationError: The sequence is empty or names a node twice.
        """
        if not nodes:
            msg = "a sequence needs at least one node"
            raise GraphValidationError(msg)
        previous: str | None = None
        for node in nodes:
            name, action = node if isinstance(node, tuple) else (name_of(node), node)
            self.add_node(name, action)
            if previous is not None:
                self.add_edge(previous, name)
            previous = name
        return self

    def set_entry_point(self, key: str) -> Self:
        """Start with a node."""
        return self.add_edge(START, key)

    def set_conditional_entry_point(
        self, path: Callable[..., Any] | Any, path_map: dict[Hashable, str] | list[str] | None = None
    ) -> Self:
        """Choose what to start with."""
        return self.add_conditional_edges(START, path, path_map)

    def set_finish_point(self, key: str) -> Self:
        """End after a node."""
        return self.add_edge(key, END)

    # -- compile

    def validate(self, interrupt: Sequence[str] | None = None) -> Self:
        """Check that the graph can be compiled.

        Raises:
            GraphValidationError: An edge or branch names a node that isn't there, or nothing starts the graph.
        """
        sources = (
            {start for start, _ in self.edges}
            | {s for many, _ in self.waiting_edges for s in many}
            | set(self.branches)
        )
        targets = {end for _, end in self.edges | self.waiting_edges}
        targets |= {end for many in self.branches.values() for b in many.values() for end in (b.ends or {}).values()}
        for name in sorted(sources - {START}):
            self._check_known(name, "an edge starts at")
        for name in sorted(targets - {END}):
            self._check_known(name, "an edge ends at")
        for name in interrupt or ():
            self._check_known(name, "an interrupt is set for")
        if START not in sources:
            msg = "nothing starts the graph"
            raise GraphValidationError(msg, hint="add_edge(START, '...')")
        return self

    def _check_known(self, name: str, what: str) -> None:
        if name not in self.nodes:
            known = ", ".join(sorted(self.nodes)) or "none"
            msg = f"{what} {name!r}, which isn't a node"
            raise GraphValidationError(msg, hint=f"nodes are: {known}", node=name)

    def compile(
        self,
        checkpointer: Checkpointer = None,
        *,
        cache: Any = None,
        store: Any = None,
        interrupt_before: All | list[str] | None = None,
        interrupt_after: All | list[str] | None = None,
        debug: bool = False,
        name: str | None = None,
        transformers: Sequence[Callable[[tuple[str, ...]], Any]] = (),
        busy: BusyPolicy = "wait",
        validate_state: bool | None = None,
        version: str | None = None,
        migrations: Sequence[Migration] = (),
        other_versions: Literal["latest", "refuse"] = "latest",
    ) -> CompiledStateGraph[StateT, ContextT, InputT, OutputT]:
        """Return the graph, ready to run.

        Args:
            checkpointer: A saver. In a subgraph: None to share the parent's for one call, True to share it with a
                memory over calls, False for none.
            cache: Keeps what nodes with a cache policy return.
            store: Memory across threads, given to nodes.
            interrupt_before: Nodes before which every run stops; "*" for all.
            interrupt_after: Nodes after which every run stops; "*" for all.
            debug: Print what happens in every run.
            name: The graph's name.
            transformers: What makes further projections of `stream_events`, of every run.
            busy: What a call does when another one runs its thread: `wait`, `reject` or `interrupt`.
            validate_state: Check what a node returns, with the state that it changes, against the schema's types before
                it is stored; needs Pydantic. Types are compared strictly: a text is no number. None: what Pydantic
                models declare is checked, as they would when a node reads it, but for keys with a reducer. False:
                nothing is checked.
            version: The graph's version, stored with its checkpoints.
            migrations: How the state of threads of other versions becomes this one's, when it is read.
            other_versions: What to do with threads of other versions: migrate them to the `latest`, or `refuse`;
                `PinnedGraph` lets each go on with its own.

        Raises:
            GraphValidationError: See `validate`.
        """
        before, after = interrupt_before or [], interrupt_after or []
        self.validate([*(before if before != "*" else ()), *(after if after != "*" else ())])
        return CompiledStateGraph(
            builder=self,
            **compile_plan(self),
            name=name or "LangGraph",
            checkpointer=checkpointer,
            cache=cache,
            store=store,
            interrupt_before_nodes=before,
            interrupt_after_nodes=after,
            busy=busy,
            context_schema=self.context_schema,
            checks=_checks_of(self.schemas, validate_state),
            version=version,
            migrations=migrations,
            other_versions=other_versions,
            stream_mode="updates",
            debug=debug,
            transformers=transformers,
        )


class CompiledStateGraph(Pregel, Generic[StateT, ContextT, InputT, OutputT]):
    """A compiled `StateGraph`."""

    if not TYPE_CHECKING:
        __class_getitem__ = classmethod(_any_parameters)

    def __init__(self, *, builder: StateGraph[Any, Any, Any, Any], **options: Any) -> None:
        super().__init__(**options)
        self.builder = builder
        self._register_types()

    def copy(self, update: dict[str, Any] | None = None) -> Self:
        """Return a copy with some attributes replaced; a new saver learns the types that the schemas name."""
        new = super().copy(update)
        if "checkpointer" in (update or {}):
            new._register_types()  # noqa: SLF001 - its own class
        return new

    def _register_types(self) -> None:
        """Let the saver read back the types that the schemas name."""
        register = getattr(self.checkpointer, "register_types", None)
        if register is None:
            return
        from perdure.checkpoint.serde.schemas import collect_types

        for schema in [*self.builder.schemas, self.builder.context_schema]:
            if schema is not None:
                register(collect_types(schema))

    @property
    def input_schema(self) -> Any:
        """What a run takes."""
        return self.builder.input_schema

    @property
    def output_schema(self) -> Any:
        """What a run returns."""
        return self.builder.output_schema

    def coerce_output(self, value: Any) -> Any:
        """Turn the dict of output channels into the output schema, for `version="v2"`."""
        mapper = mapper_of(self.builder.output_schema)
        return mapper(value) if mapper is not None and isinstance(value, dict) else value

    def get_graph(self, config: RunnableConfig | None = None, *, xray: int | bool = False) -> Graph:
        """Return the graph's drawing.

        Args:
            config: Accepted for compatibility; without effect.
            xray: Show the inside of subgraphs: True for all levels, or how many.
        """
        from perdure.graph.drawing import draw

        return draw(self, xray=xray)

    def get_input_jsonschema(self, config: RunnableConfig | None = None) -> dict[str, Any]:
        """Return the JSON schema of what a run takes."""
        return json_schema(self.builder.input_schema, f"{self.name}Input")

    def get_output_jsonschema(self, config: RunnableConfig | None = None) -> dict[str, Any]:
        """Return the JSON schema of what a run returns."""
        return json_schema(self.builder.output_schema, f"{self.name}Output")

    def get_context_jsonschema(self) -> dict[str, Any] | None:
        """Return the JSON schema of the run's context, if the graph has one."""
        schema = self.builder.context_schema
        return None if schema is None else json_schema(schema, f"{self.name}Context")

    def get_subgraphs(self, *, namespace: str | None = None, recurse: bool = False) -> Iterator[tuple[str, Pregel]]:
        """Yield the graphs that are nodes of this one, by name.

        Args:
            namespace: Only the one at this path.
            recurse: Also those inside of these, as `outer|inner`.
        """
        for name, node in self.plan.nodes.items():
            inner = node.subgraph
            if inner is None or (namespace is not None and namespace.partition(NS_SEP)[0] != name):
                continue
            rest = namespace.partition(NS_SEP)[2] if namespace else ""
            if namespace is None or not rest:
                yield name, inner
            if (recurse or rest) and hasattr(inner, "get_subgraphs"):
                for sub, graph in inner.get_subgraphs(namespace=rest or None, recurse=recurse):
                    yield f"{name}{NS_SEP}{sub}", graph


def _function(target: Any) -> Any:
    return target if inspect.isroutine(target) else getattr(target, "__call__", target)  # noqa: B004 - its hints are read


def _hints(target: Any) -> dict[str, Any]:
    try:
        return get_type_hints(_function(target))
    except (NameError, TypeError, AttributeError):  # hints are a convenience: without them the state is the input
        return {}


def _first_parameter(target: Any, hints: dict[str, Any]) -> Any:
    if hasattr(target, "invoke"):
        return None
    try:
        first = next(iter(inspect.signature(target).parameters), None)
    except (TypeError, ValueError):
        return None
    hint = hints.get(first) if first else None
    return hint if hint is not None and is_record(hint) and hint is not Any else None


def _checks_of(schemas: Iterable[Any], validate_state: bool | None) -> dict[str, Callable[[Any], None]] | None:
    if validate_state is None:
        return declared_checks(schemas)
    return checks_of(schemas) if validate_state else None


def _literals(hint: Any) -> list[Any]:
    return list(get_args(hint)) if get_origin(hint) is Literal else []


def _destinations(given: dict[str, str] | tuple[str, ...] | None, hints: dict[str, Any]) -> dict[str, str]:
    if given is not None:
        return dict(given) if isinstance(given, dict) else {name: name for name in given}
    returned = hints.get("return")
    for option in [returned, *get_args(returned)]:
        if get_origin(option) is Command:
            return {name: name for arg in get_args(option) for name in _literals(arg)}
    return {}


def _ends(path_map: dict[Hashable, str] | list[str] | None, action: Action) -> dict[Hashable, str] | None:
    if isinstance(path_map, dict):
        return dict(path_map)
    if path_map is not None:
        return {name: name for name in path_map}
    names = _literals(_hints(action.target).get("return"))
    return {name: name for name in names} or None
