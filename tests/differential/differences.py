"""Every deliberate difference in behaviour from the reference: one entry, one reason, one line in the documentation.

`reconcile` takes out of a transcript what the difference is about, and nothing else. It applies to cases that
name the difference, or to all if it shows everywhere; a test fails when a difference doesn't show any more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.differential.normalise import Raised


@dataclass(frozen=True)
class Difference:
    """A named difference; the reason is its line in docs/differences.md."""

    reason: str
    reconcile: Callable[[Any], Any]
    everywhere: bool = False


def mapped(tree: Any, change: Callable[[Any], Any]) -> Any:
    """Apply a change to every part of a tree, from the leaves up."""
    if isinstance(tree, dict):
        tree = {key: mapped(value, change) for key, value in tree.items()}
    elif isinstance(tree, list | tuple):
        tree = type(tree)(mapped(item, change) for item in tree)
    return change(tree)


def _tuples_as_lists(part: Any) -> Any:
    return list(part[1:]) if isinstance(part, tuple) and part[:1] == ("<tuple>",) else part


def _error_as_text(part: Any) -> Any:
    """Turn a stored error into the text that the reference stores; of its own errors only the name is the same."""
    text = part.args[0] if isinstance(part, Raised) and part.caught_by[0] == "StoredError" else part
    if isinstance(text, str) and text.startswith(("InvalidUpdateError(", "TypeError(")):
        return text.partition("(")[0]
    return text


def _without_parent(part: Any) -> Any:
    is_event = isinstance(part, dict) and "parent_config" in part and "created_at" not in part
    return {**part, "parent_config": None} if is_event else part


def _without_private_keys(part: Any) -> Any:
    if isinstance(part, dict) and isinstance(keys := part.get("configurable"), dict):
        return {**part, "configurable": {k: v for k, v in keys.items() if not k.startswith("__pregel")}}
    return part


def _stored_writes_without(is_left_out: Callable[[tuple[Any, ...]], bool]) -> Callable[[Any], Any]:
    def change(part: Any) -> Any:
        if isinstance(part, dict) and {"writes", "seen", "versions"} <= part.keys():
            return {**part, "writes": [write for write in part["writes"] if not is_left_out(write)]}
        return part

    return lambda tree: mapped(tree, change)


def _channel(write: tuple[Any, ...]) -> str:
    """Return the channel of a write: task, channel, value at the end of a tuple, or of a list in its place."""
    return write[-2]


def _outcomes_only_until(position: int) -> Callable[[Any], Any]:
    """Compare the first actions only: what comes after them follows from the difference."""
    return lambda transcript: transcript[:position]


DIFFERENCES: dict[str, Difference] = {
    "errors-read-back": Difference(
        "A task's error is read back as a `StoredError` with type name, message and arguments, not as a text.",
        lambda tree: mapped(tree, _error_as_text),
        everywhere=True,
    ),
    "tuples": Difference(
        "Tuples come back as tuples, at any depth.",
        lambda tree: mapped(tree, _tuples_as_lists),
    ),
    "answers-by-id": Difference(
        "An answer is stored with the id of the question that it answers, once, not with each task.",
        _stored_writes_without(lambda write: _channel(write) == "__resume__"),
    ),
    "message-ids": Difference(
        "Messages are stored as messages with ids before the reducer sees them, whatever form they were written in.",
        _stored_writes_without(lambda write: _channel(write) in {"messages", "__start__"}),
    ),
    "updates-are-writes": Difference(
        "`update_state` on an older checkpoint keeps what was written with that checkpoint, as on the newest one.",
        _stored_writes_without(lambda write: True),
    ),
    "exit-parents": Difference(
        "Checkpoint events of a run with durability `exit` name the stored checkpoint that the run goes on from.",
        lambda tree: mapped(tree, _without_parent),
    ),
    "unknown-stream-mode": Difference(
        "An unknown stream mode is refused.",
        _outcomes_only_until(0),
    ),
    "output-is-read": Difference(
        "`invoke` returns the output channels also when none of them was written in the run; LangGraph returns None.",
        _outcomes_only_until(0),
    ),
    "defer-waits-for-sends": Difference(
        "A deferred node waits for pending `Send` tasks too; in LangGraph it runs beside them.",
        _outcomes_only_until(0),
    ),
    "no-private-keys": Difference(
        "The config of a subgraph that hasn't run yet names its place only; in LangGraph it carries the saver.",
        lambda tree: mapped(tree, _without_private_keys),
    ),
    "conflict-with-exit": Difference(
        "A step whose updates conflict stays undone with durability `exit` too; LangGraph ends with half of it.",
        _outcomes_only_until(1),
    ),
    "wrong-state": Difference(
        "A Pydantic state is checked before it is stored; in LangGraph a value that the model doesn't take breaks the "
        "thread.",
        _outcomes_only_until(0),
    ),
    "unknown-target": Difference(
        "A branch, `goto` or `Send` that names a node that doesn't exist fails; it isn't dropped with a log line.",
        _outcomes_only_until(0),
    ),
    "failed-branch": Difference(
        "A branch that raises fails its node, which runs again on resume; the run doesn't end as if nothing was next.",
        _outcomes_only_until(1),
    ),
    "answer-to-nothing": Difference(
        "An answer that nobody asked for is refused; it doesn't start or repeat a step.",
        _outcomes_only_until(0),
    ),
    "one-answer-once": Difference(
        "An answer answers one question: resuming with None doesn't give it to the next question too.",
        _outcomes_only_until(4),
    ),
    "command-input-once": Difference(
        "A `Command` as the first input is applied once: its update isn't also taken as a plain input.",
        _outcomes_only_until(0),
    ),
    "update-keeps-siblings": Difference(
        "`update_state` in place of a failed task keeps the writes of its finished siblings.",
        _outcomes_only_until(2),
    ),
    "input-clears-what-was-due": Difference(
        '`update_state(as_node="__input__")` is a new input: nodes that were due before don\'t run beside it.',
        _outcomes_only_until(2),
    ),
}
EVERYWHERE = tuple(name for name, difference in DIFFERENCES.items() if difference.everywhere)
