"""How many supersteps are left."""

from __future__ import annotations

from typing import Annotated

from perdure.managed.base import ManagedValue

__all__ = ["IsLastStep", "IsLastStepManager", "RemainingSteps", "RemainingStepsManager"]


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
