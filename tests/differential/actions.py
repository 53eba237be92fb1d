"""What a scenario may do with a graph; each action is written once and driven in both colours."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.differential.normalise import Normaliser, masked, ranks
from tests.differential.package import Package

THREAD = "t"


@dataclass
class Session:
    """One graph of one package on one thread, driven through a scenario."""

    package: Package
    graph: Any
    asynchronous: bool = False
    normalise: Normaliser = field(default_factory=Normaliser)
    marks: dict[str, Any] = field(default_factory=dict)

    async def call(self, name: str, *args: Any, of: Any = None, **kwargs: Any) -> Any:
        target = self.graph if of is None else of
        if self.asynchronous:
            return await getattr(target, "a" + name)(*args, **kwargs)
        return getattr(target, name)(*args, **kwargs)

    async def items(self, name: str, *args: Any, into: list[Any], of: Any = None, **kwargs: Any) -> None:
        """Collect an iteration into a list that the caller keeps if it raises in the middle."""
        target = self.graph if of is None else of
        if self.asynchronous:
            async for item in getattr(target, "a" + name)(*args, **kwargs):
                into.append(item)  # noqa: PERF401 - the part before an error counts
        else:
            for item in getattr(target, name)(*args, **kwargs):
                into.append(item)  # noqa: PERF402

    async def history(self, **kwargs: Any) -> list[Any]:
        found: list[Any] = []
        await self.items("get_state_history", thread(), into=found, **kwargs)
        return found

    async def address(self, at: int | str | None) -> dict[str, Any]:
        """Return the thread's config; of the n-th newest checkpoint for a number, of a mark for a name."""
        if at is None:
            return thread()
        if isinstance(at, str):
            return self.marks[at]
        return (await self.history())[at].config

    def value(self, spec: Any) -> Any:
        """Return an input; a function of the package makes those that need its classes."""
        return spec(self.package) if callable(spec) else spec


def thread(**configurable: Any) -> dict[str, Any]:
    return {"configurable": {"thread_id": THREAD, **configurable}}


class Action:
    """Something done to a graph; `perform` returns what is compared."""

    async def perform(self, session: Session) -> Any:
        raise NotImplementedError


@dataclass
class Invoke(Action):
    """Run to the end; `at` replays from an older checkpoint; `config` is merged into the thread's."""

    input: Any = None
    at: int | str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    async def perform(self, session: Session) -> Any:
        config = {**await session.address(self.at), **self.config}
        value = session.value(self.input)
        options = {key: session.value(option) for key, option in self.options.items()}
        return session.normalise(await session.call("invoke", value, config, **options))


@dataclass
class Stream(Action):
    """Stream to the end. One task at a time, so that the order of chunks is defined, unless `ordered` is off."""

    input: Any = None
    mode: str | Sequence[str] = "updates"
    at: int | str | None = None
    ordered: bool = True
    config: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    async def perform(self, session: Session) -> Any:
        config = {**await session.address(self.at), **self.config}
        if self.ordered:
            config = {"max_concurrency": self._one_by_one(session), **config}
        chunks: list[Any] = []
        value = session.value(self.input)
        error = None
        options = {key: session.value(option) for key, option in self.options.items()}
        try:
            mode = self.mode if isinstance(self.mode, str) else list(self.mode)
            await session.items("stream", value, config, stream_mode=mode, into=chunks, **options)
        except Exception as raised:
            error = session.normalise.raised(raised)
        return {"chunks": session.normalise.chunks(chunks, ordered=self.ordered), "error": error}

    def _one_by_one(self, session: Session) -> int:
        """Return the limit with which tasks run one at a time.

        The reference's sync driver lets the thread that waits for chunks of these modes occupy one place,
        and with a limit of 1 it never ends.
        """
        modes = {self.mode} if isinstance(self.mode, str) else {*self.mode}
        waits = modes & {"custom", "messages"} or self.options.get("subgraphs")
        return 2 if waits and not session.asynchronous and session.package.name == "langgraph" else 1


@dataclass
class State(Action):
    """Read the latest state, or the one at an address."""

    at: int | str | None = None
    subgraphs: bool = False

    async def perform(self, session: Session) -> Any:
        config = await session.address(self.at)
        return session.normalise(await session.call("get_state", config, subgraphs=self.subgraphs))


@dataclass
class SubgraphState(Action):
    """Read the state or the history of the subgraph under the first task of the latest state."""

    history: bool = False

    async def perform(self, session: Session) -> Any:
        tasks = (await session.call("get_state", thread())).tasks
        config = next(task.state for task in tasks if task.state)
        if not self.history:
            return session.normalise(await session.call("get_state", config))
        found: list[Any] = []
        await session.items("get_state_history", config, into=found)
        return session.normalise(found)


@dataclass
class History(Action):
    """Read the checkpoint history, newest first."""

    options: Mapping[str, Any] = field(default_factory=dict)

    async def perform(self, session: Session) -> Any:
        return session.normalise(await session.history(**self.options))


@dataclass
class Stored(Action):
    """Read what the saver holds: checkpoints of all namespaces, changed versions, pending writes."""

    async def perform(self, session: Session) -> Any:
        found: list[Any] = []
        saver = session.graph.checkpointer
        await session.items("list", {"configurable": {"thread_id": THREAD}}, into=found, of=saver)
        return session.normalise(_by_namespace([_stored(entry) for entry in found]))


@dataclass
class Update(Action):
    """Update the state by hand; a fork if `at` is older than the head."""

    values: Any
    as_node: str | None = None
    at: int | str | None = None
    task: int | None = None
    mark: str | None = None

    async def perform(self, session: Session) -> Any:
        config = await session.address(self.at)
        kwargs = {}
        if self.task is not None:
            state = await session.call("get_state", config)
            kwargs["task_id"] = state.tasks[self.task].id
        new = await session.call("update_state", config, session.value(self.values), as_node=self.as_node, **kwargs)
        if self.mark:
            session.marks[self.mark] = new
        return session.normalise(new)


@dataclass
class BulkUpdate(Action):
    """Make one checkpoint per inner list of (values, as_node)."""

    supersteps: Sequence[Sequence[tuple[Any, str | None]]]

    async def perform(self, session: Session) -> Any:
        make = session.package.StateUpdate
        steps = [[make(session.value(v), node) for v, node in step] for step in self.supersteps]
        return session.normalise(await session.call("bulk_update_state", thread(), steps))


@dataclass
class Batch(Action):
    """Run several inputs at once, each on a thread of its own."""

    inputs: Sequence[Any]

    async def perform(self, session: Session) -> Any:
        configs = [{"configurable": {"thread_id": f"batch {n}"}} for n in range(len(self.inputs))]
        return session.normalise(await session.call("batch", list(self.inputs), configs))


@dataclass
class Mark(Action):
    """Remember the address of a checkpoint, for later actions."""

    name: str
    at: int | None = None

    async def perform(self, session: Session) -> Any:
        config = (await session.call("get_state", await session.address(self.at))).config
        session.marks[self.name] = config
        return session.normalise(config)


@dataclass
class Ask(Action):
    """Anything else; a function of package and graph, synchronous."""

    question: Callable[[Package, Any], Any]

    async def perform(self, session: Session) -> Any:
        return session.normalise(self.question(session.package, session.graph))


@dataclass
class ResumeAll(Action):
    """Answer all open interrupts at once by id; the answer is a function of the interrupt's value."""

    answer: Callable[[Any], Any]

    async def perform(self, session: Session) -> Any:
        state = await session.call("get_state", thread(), subgraphs=True)
        answers = {interrupt.id: self.answer(interrupt.value) for interrupt in state.interrupts}
        command = session.package.Command(resume=answers) if answers else None
        return session.normalise(await session.call("invoke", command, {**thread(), "max_concurrency": 1}))


def _by_namespace(entries: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Group by namespace, for the order between two of them is the saver's; within one it is newest first."""
    spaces: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        spaces.setdefault(entry["config"]["configurable"]["checkpoint_ns"], []).append(entry)
    newest_first = sorted(spaces.values(), key=lambda one: one[0]["config"]["configurable"]["checkpoint_id"])
    return sorted(newest_first, key=masked)


def _stored(entry: Any) -> dict[str, Any]:
    checkpoint = entry.checkpoint
    versions, seen = ranks(checkpoint["channel_versions"], checkpoint["versions_seen"])
    return {
        "config": entry.config,
        "parent_config": entry.parent_config,
        "metadata": entry.metadata,
        "values": checkpoint["channel_values"],
        "versions": versions,
        "seen": seen,
        "updated": checkpoint.get("updated_channels"),
        "writes": _writes(entry.pending_writes or ()),
        "keys": sorted(checkpoint),
    }


def _writes(pending: Sequence[tuple[str, str, Any]]) -> list[tuple[str, str, Any]]:
    """Sort what has no order: tasks, which come by their hashed ids, and the routing writes of a task, which the
    reference takes from a set of edges. The order in which tasks count shows in the values.
    """
    routing = [write for write in pending if write[1].startswith("branch:to:")]
    rest = [write for write in pending if not write[1].startswith("branch:to:")]
    tasks = list(dict.fromkeys(task for task, _, _ in pending))
    routing.sort(key=lambda write: write[1])
    by_task = [[write for write in (*rest, *routing) if write[0] == task] for task in tasks]
    return [write for writes in sorted(by_task, key=masked) for write in writes]
