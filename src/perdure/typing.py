"""Type variables of graphs: state, context, input and output."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["ContextT", "InputT", "OutputT", "StateT", "StateT_co", "StateT_contra"]

if TYPE_CHECKING:
    # Type checkers know defaults of type variables; the standard library has them from Python 3.13 on.
    from typing_extensions import TypeVar

    StateT = TypeVar("StateT")
    StateT_co = TypeVar("StateT_co", covariant=True)
    StateT_contra = TypeVar("StateT_contra", contravariant=True)
    ContextT = TypeVar("ContextT", default=None)
    InputT = TypeVar("InputT", default=StateT)
    OutputT = TypeVar("OutputT", default=StateT)
else:
    from typing import TypeVar

    StateT = TypeVar("StateT")
    StateT_co = TypeVar("StateT_co", covariant=True)
    StateT_contra = TypeVar("StateT_contra", contravariant=True)
    ContextT = TypeVar("ContextT")
    InputT = TypeVar("InputT")
    OutputT = TypeVar("OutputT")
