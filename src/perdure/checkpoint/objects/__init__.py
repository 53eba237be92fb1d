"""Savers over objects: a thread is one object that is replaced on a condition, and immutable ones that it names.

What a backend adds is a client that gets, puts on a condition, deletes and lists (`perdure.database.objects`).
"""

from perdure.checkpoint.objects.saver import ObjectSaver

__all__ = ["ObjectSaver"]
