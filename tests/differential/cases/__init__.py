"""The hand-picked graphs, one module a subject."""

from importlib import import_module
from pathlib import Path


def load() -> None:
    """Import every module of this folder, which registers its cases."""
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        import_module(f"{__name__}.{path.stem}")
