"""Docker or Podman, if one is here: an image is given to it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from perdure.build.errors import BuildError

_ENGINES: Final = ("docker", "podman")


def load(archive: Path, engines: Sequence[str] = _ENGINES) -> str:
    """Give a docker-archive to the first engine that takes it; return its name.

    Args:
        archive: The archive.
        engines: Which are asked.

    Raises:
        BuildError: There is none, or none takes it.
    """
    found = [name for name in engines if shutil.which(name)]
    if not found:
        raise BuildError(
            f"there is no {' and no '.join(engines)} here", hint="without --load the image is a file; see --output"
        )
    told = []
    for name in found:
        done = subprocess.run([name, "load", "--input", archive], capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode == 0:
            return name
        told.append(f"{name}: {done.stderr.strip()[-300:]}")
    raise BuildError(f"the image can't be loaded: {'; '.join(told)}", hint="is its daemon running?")
