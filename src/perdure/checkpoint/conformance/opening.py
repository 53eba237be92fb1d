"""A third party's function that opens its saver, named on the command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pkgutil import resolve_name
from typing import Any

from perdure.checkpoint.base import BaseCheckpointSaver
from perdure.errors import UsageError

Make = Callable[..., Any]
"""Called with the path of a folder: opens a saver of what is kept there, or under a name made of the path, in a server.

The same path means the same data, and another one other data. It gives a saver, or a context manager of one; and it may
take `serde`, the serializer.
"""


def load(spec: str) -> Make:
    """Import the function that `module:name` names.

    Raises:
        UsageError: There is none.
    """
    if ":" not in spec:
        raise UsageError(f"{spec!r} names no function", hint="module:function, such as my_saver.tests:make")
    try:
        found: Any = resolve_name(spec)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"{spec!r} can't be imported: {error}", hint="it is looked for from this folder on") from error
    if not callable(found):
        raise UsageError(f"{spec!r} is no function, but {found!r}")
    made: Make = found
    return made


def takes_serde(make: Make) -> bool:
    """Tell whether the saver can be given a serializer."""
    kinds = inspect.signature(make).parameters.values()
    return any(one.name == "serde" or one.kind is inspect.Parameter.VAR_KEYWORD for one in kinds)


@contextmanager
def opened(make: Make, where: str, **options: Any) -> Iterator[BaseCheckpointSaver[Any]]:
    """Open the saver, and close it."""
    made = make(where, **options)
    if hasattr(made, "__enter__"):
        with made as saver:
            yield saver
        return
    yield made
    close = getattr(made, "close", None)
    if close is not None:
        close()
