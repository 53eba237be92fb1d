"""`python -m perdure.server.health` asks the server of this container whether it is well; imports nothing of it."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_PATIENCE: Final = 4.0
"""Seconds."""


def address(environment: Mapping[str, str]) -> str | None:
    """Return the address to ask, None for a process that answers no requests."""
    if environment.get("PERDURE_SERVES", "1").lower() in {"0", "false", "no"}:
        return None
    config = json.loads(Path(environment.get("PERDURE_CONFIG", "perdure.json")).read_bytes())
    prefix = (config.get("http") or {}).get("mount_prefix") or ""
    return f"http://127.0.0.1:{environment.get('PERDURE_PORT', '2024')}{prefix}/ok"


def main() -> int:
    """Return 0 if the server is well, 1 if not."""
    try:
        if (url := address(os.environ)) is None:
            return 0
        with urllib.request.urlopen(url, timeout=_PATIENCE) as answer:  # noqa: S310 - http, to this machine
            return int(answer.status != 200)
    except (OSError, ValueError) as e:
        print(f"not well: {e}", file=sys.stderr)  # noqa: T201 - what `docker inspect` shows
        return 1


if __name__ == "__main__":
    sys.exit(main())
