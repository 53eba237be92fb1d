"""Reads a distribution's licence from its metadata and says which rules it brings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, distributions
from threading import Lock
from typing import Any

from license_expression import ExpressionError, Licensing, get_license_index, get_spdx_licensing

# From the mildest to the strictest; the categories are those of the licence index.
STRICTNESS = ("permissive", "weak copyleft", "strong copyleft", "unclear")
CATEGORY = {
    "Permissive": "permissive",
    "Public Domain": "permissive",
    "CLA": "permissive",
    "Copyleft Limited": "weak copyleft",
    "Copyleft": "strong copyleft",
}

# What people wrote before licence expressions (PEP 639), where it names exactly one licence. "BSD" doesn't.
SPELLINGS = {
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "gplv2": "GPL-2.0-only",
    "gplv3": "GPL-3.0-only",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "lgplv3": "LGPL-3.0-only",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
    "the mit license": "MIT",
    "the unlicense (unlicense)": "Unlicense",
}

_parsing = Lock()  # the parser isn't safe in several threads, and plain functions run in those


@dataclass(frozen=True)
class Finding:
    """What the metadata of one package says about its licence."""

    name: str
    version: str
    stated: str
    """What the package says, as it says it."""
    expression: str
    """The same as an SPDX expression; empty if it can't be told."""
    rules: str
    """One of `STRICTNESS`."""


def packages(path: list[str] | None = None) -> dict[str, str]:
    """Return name and version of each distribution on `path` (default: this Python's), in order."""
    found: dict[str, str] = {}
    for distribution in _distributions(path):
        found.setdefault(distribution.name, distribution.version)
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def examine(name: str, version: str, path: list[str] | None = None) -> Finding:
    """Return what the metadata of one package says about its licence."""
    distribution = next(iter(_distributions(path, name=name)))
    stated = list(_statements(distribution))
    for statement in stated:
        expression = SPELLINGS.get(statement.lower(), statement)
        rules = classify(expression)
        if rules != "unclear":
            return Finding(name, version, statement, expression, rules)
    return Finding(name, version, stated[0] if stated else "nothing", "", "unclear")


def classify(expression: str) -> str:
    """Return which rules an SPDX expression brings; `unclear` if it isn't one."""
    try:
        with _parsing:
            parsed = _licensing().parse(expression, validate=True)
    except ExpressionError:
        return "unclear"
    return "unclear" if parsed is None else _rules(parsed)


def _rules(parsed: Any) -> str:
    operator = getattr(parsed, "operator", None)
    if operator is None:
        # `GPL-2.0-only WITH Classpath-exception-2.0` is judged by its exception: it loosens the licence.
        symbol = getattr(parsed, "exception_symbol", parsed)
        return _index().get(symbol.key, "unclear")
    judged = sorted((_rules(part) for part in parsed.args), key=STRICTNESS.index)
    return judged[0] if operator.strip() == "OR" else judged[-1]


def _statements(distribution: Distribution) -> Iterator[str]:
    metadata = distribution.metadata
    for field in ("License-Expression", "License"):
        text = (metadata.get(field) or "").strip()
        # Some put the whole licence there: its first line is its name.
        if text and text != "UNKNOWN":
            yield text.splitlines()[0].strip()
    classifiers = [text for text in metadata.get_all("Classifier") or () if text.startswith("License :: OSI")]
    # Two classifiers don't say whether they are "and" or "or".
    if len(classifiers) == 1:
        yield classifiers[0].rpartition(" :: ")[2]


def _distributions(path: list[str] | None, **query: str) -> Iterable[Distribution]:
    return distributions(**query) if path is None else distributions(path=path, **query)


@cache
def _licensing() -> Licensing:
    return get_spdx_licensing()


@cache
def _index() -> dict[str, str]:
    return {
        key: CATEGORY.get(entry["category"], "unclear")
        for entry in get_license_index()
        for key in (entry.get("spdx_license_key"), *entry.get("other_spdx_license_keys", ()))
        if key
    }
