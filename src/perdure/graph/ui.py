"""Messages that a user interface shows: components with properties, merged by id."""

from __future__ import annotations

from typing import Any, Literal, TypedDict
from uuid import uuid4

from perdure.errors import InvalidUpdateError
from perdure.runtime import current_task

__all__ = [
    "AnyUIMessage",
    "RemoveUIMessage",
    "UIMessage",
    "delete_ui_message",
    "push_ui_message",
    "ui_message_reducer",
]


class UIMessage(TypedDict):
    """A component to show.

    Attributes:
        type: `ui`.
        id: Names it; a later message with the same id replaces it, or is merged into it.
        name: Of the component.
        props: Its properties.
        metadata: About it: `merge`, `run_id`, `tags`, `name` (of the run), `message_id`.
    """

    type: Literal["ui"]
    id: str
    name: str
    props: dict[str, Any]
    metadata: dict[str, Any]


class RemoveUIMessage(TypedDict):
    """The removal of a component.

    Attributes:
        type: `remove-ui`.
        id: Of the component.
    """

    type: Literal["remove-ui"]
    id: str


AnyUIMessage = UIMessage | RemoveUIMessage


def push_ui_message(
    name: str,
    props: dict[str, Any],
    *,
    id: str | None = None,
    metadata: dict[str, Any] | None = None,
    message: Any = None,
    state_key: str | None = "ui",
    merge: bool = False,
) -> UIMessage:
    """Show a component now (stream mode `custom`), and keep it in the state.

    Args:
        name: The component.
        props: Its properties.
        id: Names it; a new one by default.
        metadata: More about it.
        message: The chat message that it belongs to.
        state_key: Where the state keeps it, under `ui_message_reducer`; None for nowhere.
        merge: Add the properties to those of the component with this id, instead of replacing them.

    Returns:
        The message.
    """
    scope = current_task("push_ui_message()")
    config = scope.run.config
    about = {
        "merge": merge,
        "run_id": scope.run.run_id,
        "tags": config.get("tags"),
        "name": config.get("run_name"),
        **(metadata or {}),
    }
    if message is not None:
        about["message_id"] = message.get("id") if isinstance(message, dict) else getattr(message, "id", None)
    shown: UIMessage = {"type": "ui", "id": id or str(uuid4()), "name": name, "props": props, "metadata": about}
    scope.writer(shown)
    if state_key is not None:
        scope.task.writes.append((state_key, shown))
    return shown


def delete_ui_message(id: str, *, state_key: str = "ui") -> RemoveUIMessage:
    """Take a component away, now and in the state."""
    scope = current_task("delete_ui_message()")
    removal: RemoveUIMessage = {"type": "remove-ui", "id": id}
    scope.writer(removal)
    scope.task.writes.append((state_key, removal))
    return removal


def ui_message_reducer(
    left: list[AnyUIMessage] | AnyUIMessage, right: list[AnyUIMessage] | AnyUIMessage
) -> list[AnyUIMessage]:
    """Merge components by id; removals remove.

    Raises:
        InvalidUpdateError: The removed component isn't there.
    """
    kept: dict[str, AnyUIMessage] = {one["id"]: one for one in (left if isinstance(left, list) else [left])}
    for message in right if isinstance(right, list) else [right]:
        id_ = message["id"]
        before = kept.get(id_)
        if message["type"] == "remove-ui":
            if before is None:
                raise InvalidUpdateError(f"there is no component with the id {id_!r} to remove")
            del kept[id_]
        elif before is not None and before["type"] == "ui" and message["metadata"].get("merge"):
            kept[id_] = {**message, "props": {**before["props"], **message["props"]}}
        else:
            kept[id_] = message
    return list(kept.values())
