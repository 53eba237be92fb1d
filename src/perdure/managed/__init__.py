"""Managed values: what a node reads as state but no channel holds, such as the steps that remain."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any

__all__ = ["IsLastStep", "ManagedValue", "RemainingSteps"]


class ManagedValue(ABC):
    """A read-only state key whose value comes from the run."""

    @staticmethod
    @abstractmethod
    def get(step: int, stop: int) -> Any:
        """Return the value in superstep `step` of a run that must end before `stop`."""


class IsLastStepManager(ManagedValue):
    """Whether this superstep is the last that the recursion limit allows."""

    @staticmethod
    def get(step: int, stop: int) -> bool:
        """Tell whether no superstep may follow."""
        return step == stop - 1


class RemainingStepsManager(ManagedValue):
    """How many supersteps the recursion limit still allows, this one included."""

    @staticmethod
    def get(step: int, stop: int) -> int:
        """Count the supersteps left."""
        return stop - step


IsLastStep = Annotated[bool, IsLastStepManager]
RemainingSteps = Annotated[int, RemainingStepsManager]
