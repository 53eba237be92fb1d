"""The form in which agent inboxes ask a person about an action, and get the answer."""

from __future__ import annotations

from typing import Literal, TypedDict

__all__ = ["ActionRequest", "HumanInterrupt", "HumanInterruptConfig", "HumanResponse"]


class HumanInterruptConfig(TypedDict):
    """What a person may do about a request.

    Attributes:
        allow_ignore: Skip it.
        allow_respond: Answer in words.
        allow_edit: Change its arguments.
        allow_accept: Let it happen as it is.
    """

    allow_ignore: bool
    allow_respond: bool
    allow_edit: bool
    allow_accept: bool


class ActionRequest(TypedDict):
    """An action that somebody wants to take.

    Attributes:
        action: Its name.
        args: Its arguments.
    """

    action: str
    args: dict[str, object]


class HumanInterrupt(TypedDict):
    """What `interrupt` is called with.

    Attributes:
        action_request: The action.
        config: What the person may do about it.
        description: More to read, if any.
    """

    action_request: ActionRequest
    config: HumanInterruptConfig
    description: str | None


class HumanResponse(TypedDict):
    """What the person has decided.

    Attributes:
        type: What they do.
        args: Their words, the changed request, or None.
    """

    type: Literal["accept", "ignore", "response", "edit"]
    args: None | str | ActionRequest
