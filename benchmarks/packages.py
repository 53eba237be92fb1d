"""How many packages a plain install brings."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path


def core_install(package: str) -> set[str]:
    """Return the distributions that `pip install package` brings, itself included."""
    found: set[str] = set()
    _collect(package, found)
    return found


def _collect(name: str, found: set[str]) -> None:
    name = re.sub(r"[-_.]+", "-", name).lower()
    if name in found:
        return
    found.add(name)
    for requirement in _requirements(name):
        if "extra ==" in requirement or not _applies(requirement):
            continue
        _collect(re.split(r"[\s;<>=!~\[(]", requirement, maxsplit=1)[0], found)


def _requirements(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:
        project = Path(__file__).parents[1] / "pyproject.toml"
        if name != "perdure" or not project.exists():
            return []
        return list(tomllib.loads(project.read_text())["project"]["dependencies"])


def _applies(requirement: str) -> bool:
    """Leave out what other platforms and other Pythons need."""
    marker = requirement.partition(";")[2]
    if not marker:
        return True
    try:
        from packaging.markers import Marker
    except ImportError:
        return "python_version <" not in marker and "win32" not in marker
    return bool(Marker(marker).evaluate())
