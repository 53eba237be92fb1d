"""Caches: what nodes and tasks with a cache policy have returned, to be used again."""
