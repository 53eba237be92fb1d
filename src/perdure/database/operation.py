"""What an operation on a database is: a generator of statements, run by the driver of a client library.

The operation yields batches of statements and is sent their rows. The driver owns the transaction around it, retries
and error mapping; a retry makes the operation anew. So the same operation serves sync and async callers.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

Statement = tuple[str, Sequence[Any]]
"""SQL text and its bound values."""

Batch = Sequence[Statement]
"""Statements that don't need each other's results: one round trip."""

Rows = Sequence[Sequence[Any]]
Replies = Sequence[Rows]
"""The rows of each statement of a batch."""

Op = Generator[Batch, Replies, T]
