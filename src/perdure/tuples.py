"""Named tuples made fast, for the few places where a superstep makes many."""

from __future__ import annotations

from typing import Final

build: Final = tuple.__new__
"""Makes a named tuple of its class and all fields, in half the time: its own constructor is a function in Python."""
