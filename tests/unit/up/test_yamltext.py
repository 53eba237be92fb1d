"""YAML as it is written is what was meant."""

from __future__ import annotations

import yaml
from hypothesis import given
from hypothesis import strategies as st

from perdure.up import yamltext

TEXTS = st.text(st.characters(codec="utf-8", max_codepoint=0xFFFF, exclude_categories=["Cs"]))
VALUES = st.recursive(
    TEXTS | st.integers() | st.booleans() | st.sampled_from(["yes", "No", "on", "1.5", "0x1", "~", "a: b", "#", "- x"]),
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=20,
)


@given(st.dictionaries(TEXTS, VALUES))
def test_what_is_written_reads_as_it_was(value):
    assert yaml.safe_load(yamltext.write(value)) == value
