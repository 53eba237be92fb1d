"""Costs as ratios against the installed langgraph: `python -m benchmarks`."""
