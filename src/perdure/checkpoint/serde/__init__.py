"""Turn values into typed bytes and back."""
