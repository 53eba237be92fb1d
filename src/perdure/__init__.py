"""A persistence-first graph runtime: every step of a graph is a durable checkpoint."""

__version__ = "0.1.0"
