"""Managed values: what a node reads as state but no channel holds, such as the steps that remain."""

from perdure.managed.base import ManagedValue
from perdure.managed.is_last_step import IsLastStep, RemainingSteps

__all__ = ["IsLastStep", "ManagedValue", "RemainingSteps"]
