"""Turn values into typed bytes and back."""

from perdure.checkpoint.serde.registry import register

__all__ = ["register"]
