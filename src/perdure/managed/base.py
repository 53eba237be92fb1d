"""The base of managed values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

__all__ = ["ManagedValue", "ManagedValueMapping", "ManagedValueSpec"]


class ManagedValue(ABC):
    """A read-only state key whose value comes from the run."""

    @staticmethod
    @abstractmethod
    def get(step: int, stop: int) -> Any:
        """Return the value in superstep `step` of a run that must end before `stop`."""


ManagedValueSpec = type[ManagedValue]
"""How a schema names a managed value."""

ManagedValueMapping = dict[str, ManagedValueSpec]
"""Managed values by state key."""
