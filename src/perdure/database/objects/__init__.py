"""Stores of objects, each replaced on a condition: what is asked of them, and what asks buckets of cloud providers."""
