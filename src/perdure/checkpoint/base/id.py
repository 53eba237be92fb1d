"""Checkpoint ids, at the place where programs look for them; see `perdure.checkpoint.ids`."""

from uuid import UUID

from perdure.checkpoint.ids import uuid6

__all__ = ["UUID", "uuid6"]
