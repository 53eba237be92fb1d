"""Operations on webhooks: messages that are still to be sent."""

from __future__ import annotations

from typing import NamedTuple

from perdure.database.operation import Op
from perdure.server.database import Statements


class Message(NamedTuple):
    """A message to send, and how often that was tried."""

    run_id: str
    url: str
    body: str
    attempt: int
    due_at: float


def due(sql: Statements, moment: float, limit: int) -> Op[list[Message]]:
    """Return messages whose time has come."""
    [rows] = yield [(sql["due_webhooks"], (moment, limit))]
    return [Message(*row) for row in rows]


def take(sql: Statements, message: Message, until: float) -> Op[bool]:
    """Take a message to send it; it is due again at `until`, should it not be deleted. False: another has it."""
    [rows] = yield [(sql["move_webhook"], (message.run_id, message.due_at, until))]
    return bool(rows)


def put_off(sql: Statements, run_id: str, until: float) -> Op[None]:
    """Let a message be due at `until`: it couldn't be sent."""
    yield [(sql["put_off_webhook"], (run_id, until))]


def delete(sql: Statements, run_id: str) -> Op[None]:
    """Delete a message: it was sent, or given up."""
    yield [(sql["delete_webhook"], (run_id,))]
