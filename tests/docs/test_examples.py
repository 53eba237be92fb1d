"""Every Python block of the README and of the documentation runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

ROOT = Path(__file__).parents[2]
PAGES = sorted(page for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")] if "```python" in page.read_text())


def test_pages_with_examples_are_found():
    assert {"README.md", "index.md", "tutorial.md"} <= {page.name for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_of_a_page_run_in_order(page, tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERDURE_ENCRYPTION_KEYS", "")  # a page sets it
    if "DATABASE_URL" in page.read_text():
        monkeypatch.setenv("DATABASE_URL", request.getfixturevalue("database"))
    if "REDIS_URL" in page.read_text():
        monkeypatch.setenv("REDIS_URL", request.getfixturevalue("empty_valkey").url)
    if "S3_URL" in page.read_text():
        monkeypatch.setenv("S3_URL", request.getfixturevalue("bucket"))
    examples = list(Sybil([PythonCodeBlockParser()], path=str(ROOT)).parse(page).examples())
    assert len(examples) == page.read_text().count("```python")
    for example in examples:
        example.evaluate()
