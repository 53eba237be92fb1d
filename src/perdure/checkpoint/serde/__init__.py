"""Turn values into typed bytes and back."""

from perdure.checkpoint.serde.registry import register
from perdure.checkpoint.serde.schemas import collect_types

__all__ = ["collect_types", "register"]
