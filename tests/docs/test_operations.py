"""The page on operations does what it says: its blocks run in order, the commands as well as the code."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from perdure.cli import app

PAGE = Path(__file__).parents[2] / "docs/operations.md"


def test_commands_and_code_run_in_order(tmp_path, monkeypatch, database, bucket, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv("S3_URL", bucket)
    monkeypatch.setenv("PERDURE_ENCRYPTION_KEYS", "")  # the page sets it
    names = {"__name__": "page"}
    ran = 0
    for language, block in re.findall(r"```(python|console)\n(.*?)```", PAGE.read_text(), re.DOTALL):
        if language == "python":
            exec(compile(block, str(PAGE), "exec", dont_inherit=True), names)
            continue
        for line in block.splitlines():
            monkeypatch.setattr("sys.argv", shlex.split(os.path.expandvars(line)))
            assert app.start() == 0, (line, capsys.readouterr())
            ran += 1
    assert ran > 12
    assert {path.name for path in tmp_path.glob("*.perdure")} == {
        "all.perdure",
        "drill.perdure",
        "monday.perdure",
        "tuesday.perdure",
    }
    assert (tmp_path / "report.png").stat().st_size > 10_000
    assert len(list((tmp_path / "backups").glob("*.perdure"))) == 1
