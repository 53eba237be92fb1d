"""Compiled modules: an image's file system is read-only, so what isn't compiled there is compiled at every start."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from perdure.build.errors import BuildError
from perdure.build.layers import Files


def can_compile(version: str) -> bool:
    """Return whether the Python that runs here makes bytecode for a version, as `3.12`."""
    return version == f"{sys.version_info.major}.{sys.version_info.minor}"


def compile_all(folder: Path, at: str) -> None:
    """Compile the modules below a folder.

    Always the same bytes: one process, in order, with a fixed hash seed. A module isn't compared with its bytecode when
    it is loaded: its time would be another on the next machine, and nobody edits an image.

    Args:
        folder: The folder on this machine.
        at: Where it will be in the image: that is what tracebacks show.
    """
    command = [sys.executable, "-S", "-m", "compileall", "-q", "-j", "1", "-s", str(folder), "-p", at]
    command += ["--invalidation-mode", "unchecked-hash", str(folder)]
    done = subprocess.run(  # noqa: S603 - ourselves
        command, env={"PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=False, cwd="/"
    )
    # A package may ship a file that is no module of this version; it stays as it is. More than that is a failure.
    if done.returncode not in {0, 1}:
        raise BuildError(f"the modules of {at} can't be compiled: {done.stderr.strip()[-500:]}")


def add_compiled(files: Files, below: str) -> None:
    """Add to files the bytecode of the modules below a path."""
    with tempfile.TemporaryDirectory(prefix="perdure-build-") as name:
        work = Path(name)
        for path, source in files.contents():
            if path.startswith(f"{below}/") and path.endswith(".py"):
                copy = work / path.removeprefix(f"{below}/")
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(source)
        compile_all(work, f"/{below}")
        for made in sorted(work.rglob("*.pyc")):
            files.add_file(f"{below}/{made.relative_to(work)}", made.read_bytes())
