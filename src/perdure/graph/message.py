"""Lists of chat messages: merged by id, over plain dicts or, where langchain-core is installed, its classes."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, TypedDict

from perdure.errors import InvalidUpdateError
from perdure.interop.chunks import id_of
from perdure.runtime import current_task

__all__ = ["REMOVE_ALL_MESSAGES", "MessagesState", "add_messages", "push_message", "remove_message"]

REMOVE_ALL_MESSAGES = "__remove_all__"
"""The id by which a removal empties the list."""

_REMOVE = "remove"


@cache
def _langchain() -> Any:
    """Return the adapter to LangChain's messages, or None where langchain-core isn't installed."""
    try:
        from perdure.interop import messages
    except ImportError:
        return None
    return messages


def remove_message(id: str) -> dict[str, Any]:
    """Return an update that removes the message with this id (`REMOVE_ALL_MESSAGES` for all)."""
    return {"role": _REMOVE, "id": id, "content": ""}


def _as_dict(message: Any) -> dict[str, Any]:
    """Return a message given as text, as (role, content) or as a dict, in chat format."""
    if isinstance(message, str):
        return {"role": "user", "content": message}
    if isinstance(message, tuple) and len(message) == 2:
        return {"role": message[0], "content": message[1]}
    if isinstance(message, dict) and ("role" in message or "type" in message):
        return message
    msg = f"not a chat message: {message!r}"
    raise InvalidUpdateError(msg, hint='use {"role": "user", "content": "..."}, ("user", "..."), or plain text')


def _as_list(messages: Any) -> list[Any]:
    return list(messages) if isinstance(messages, list) else [messages]


def _prepared(messages: Any) -> list[Any]:
    """Return messages in the form in which they are kept, each with an id."""
    adapter = _langchain()
    if adapter is not None:
        return adapter.with_ids(_as_list(messages))  # type: ignore[no-any-return]  # the adapter is imported late
    found = [_as_dict(message) for message in _as_list(messages)]
    return [m if m.get("id") else {**m, "id": str(uuid.uuid4())} for m in found]


def _id(message: Any) -> Any:
    return message["id"] if isinstance(message, dict) else message.id


def _is_removal(message: Any) -> bool:
    if isinstance(message, dict):
        return _REMOVE in (message.get("role"), message.get("type"))
    return getattr(message, "type", None) == _REMOVE


def _merge(left: list[Any], right: list[Any]) -> list[Any]:
    for at in range(len(right) - 1, -1, -1):
        if _is_removal(right[at]) and _id(right[at]) == REMOVE_ALL_MESSAGES:
            return right[at + 1 :]
    merged = list(left)
    places = {_id(message): at for at, message in enumerate(merged)}
    removed: set[Any] = set()
    for message in right:
        id_ = _id(message)
        if _is_removal(message):
            if id_ not in places:
                msg = f"there is no message with the id {id_!r} to remove"
                raise InvalidUpdateError(msg)
            removed.add(id_)
        elif id_ in places:
            removed.discard(id_)
            merged[places[id_]] = message
        else:
            places[id_] = len(merged)
            merged.append(message)
    return [message for message in merged if _id(message) not in removed] if removed else merged


def add_messages(left: Any = None, right: Any = None, *, format: str | None = None) -> Any:
    """Merge two lists of messages: one with a known id replaces it, the others are appended.

    Args:
        left: The messages so far.
        right: The update: a message or a list; a removal (`remove_message(id)`, LangChain's `RemoveMessage`) removes.
        format: `langchain-openai` brings the contents into OpenAI's format; needs langchain-core.

    Returns:
        The merged list; with only `format` given, a reducer.
    """
    if left is None and right is None:
        return _reducer(format)
    merged = _merge(_prepared(left if left is not None else []), _prepared(right if right is not None else []))
    if format is None:
        return merged
    adapter = _langchain()
    if adapter is None:
        msg = f"add_messages(format={format!r}) needs langchain-core"
        raise InvalidUpdateError(msg, hint="pip install 'perdure[langchain]'")
    return adapter.formatted(merged, format)


def _reducer(format: str | None) -> Callable[[Any, Any], Any]:
    def reduce(left: Any, right: Any) -> Any:
        return add_messages(left, right, format=format)

    reduce.on_write = _on_write  # type: ignore[attr-defined]  # read by the compiler
    return reduce


def _on_write(update: Any) -> Any:
    """Give messages their ids before the update is stored, so that applying it again gives the same list."""
    if isinstance(update, dict) and update.keys() == {"__overwrite__"}:
        return update
    if type(update).__name__ == "Overwrite":
        return update
    if isinstance(update, list):
        return [_with_id(message) for message in update]
    return _with_id(update)


def _with_id(message: Any) -> Any:
    if isinstance(message, (str, tuple)):
        message = _as_dict(message)
    if isinstance(message, dict):
        return message if message.get("id") else {**message, "id": str(uuid.uuid4())}
    if getattr(message, "id", "") is None:
        message.id = str(uuid.uuid4())
    return message


add_messages.on_write = _on_write  # type: ignore[attr-defined]  # read by the compiler


def push_message(message: Any, *, state_key: str | None = "messages") -> Any:
    """Tell a message now (stream mode `messages`), and add it to the state.

    Args:
        message: A message in any form that `add_messages` takes, with an id.
        state_key: Where the state keeps it; None for nowhere.

    Returns:
        The message.

    Raises:
        InvalidUpdateError: It has no id, so nobody could know it again.
    """
    scope = current_task("push_message()")
    if not id_of(message):
        raise InvalidUpdateError(
            "push_message needs a message with an id", hint="the stream and the state know it by its id"
        )
    [pushed] = add_messages([], [message])
    scope.tell_message(pushed)
    if state_key is not None:
        scope.task.writes.append((state_key, pushed))
    return pushed


def __getattr__(name: str) -> Any:
    if name == "MessageGraph":  # made late: `graph.state` is not needed by who only merges messages
        from perdure.graph.message_graph import MessageGraph

        return MessageGraph
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


class MessagesState(TypedDict):
    """A state with a list of messages."""

    messages: Annotated[list[Any], add_messages]
