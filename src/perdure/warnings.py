"""Categories of deprecation warnings, for filters that name them; perdure itself gives none."""

from __future__ import annotations

__all__ = [
    "LangGraphDeprecatedSinceV05",
    "LangGraphDeprecatedSinceV10",
    "LangGraphDeprecatedSinceV11",
    "LangGraphDeprecationWarning",
]


class LangGraphDeprecationWarning(DeprecationWarning):
    """A name that will go."""


class LangGraphDeprecatedSinceV05(LangGraphDeprecationWarning):
    """The same, since version 0.5 of the package that had it first."""


class LangGraphDeprecatedSinceV10(LangGraphDeprecationWarning):
    """The same, since version 1.0."""


class LangGraphDeprecatedSinceV11(LangGraphDeprecationWarning):
    """The same, since version 1.1."""
