"""The command `perdure`: starts without the `cli` extra, and then says what to install."""

from __future__ import annotations

import importlib.util
import sys
from typing import Final

NEEDS: Final = ("typer", "rich")
INSTALL: Final = "pip install 'perdure[cli]'"


def main() -> None:
    """Run the command line with the arguments of this process, and exit with its code."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from perdure import __version__

        print(f"perdure {__version__}")  # noqa: T201 - the answer
        return
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        print(  # noqa: T201 - there is no console library to print it with
            f"perdure: the command line needs {' and '.join(missing)}, not installed here.\n"
            f"  install them with: {INSTALL}",
            file=sys.stderr,
        )
        sys.exit(2)
    from perdure.cli.app import start

    sys.exit(start())
