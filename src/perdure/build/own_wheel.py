"""The perdure that runs here, as a wheel: the one that builds an image is the one in it, with or without an index."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import zipfile
from pathlib import Path
from typing import Final

import perdure
from perdure.build.errors import BuildError

_MOMENT: Final = (1980, 1, 1, 0, 0, 0)
"""The first that a zip file can say."""
_WHEEL: Final = "Wheel-Version: 1.0\nGenerator: perdure\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_SCRIPT: Final = "[console_scripts]\nperdure = perdure.cli:main\n"


def write_own_wheel(folder: Path) -> Path:
    """Write the wheel, the same bytes for the same perdure; return where it is.

    Raises:
        BuildError: This perdure isn't installed, so nobody knows what it needs.
    """
    try:
        metadata = importlib.metadata.distribution("perdure").read_text("METADATA")
    except importlib.metadata.PackageNotFoundError:
        metadata = None
    if metadata is None:
        raise BuildError("this perdure isn't installed as a package", hint="pip install 'perdure[build]'")
    package = Path(perdure.__file__).parent
    info = f"perdure-{perdure.__version__}.dist-info"
    files = {f"perdure/{path.relative_to(package).as_posix()}": path.read_bytes() for path in sorted(_shipped(package))}
    files |= {f"{info}/METADATA": metadata.encode(), f"{info}/WHEEL": _WHEEL.encode()}
    files[f"{info}/entry_points.txt"] = _SCRIPT.encode()
    files[f"{info}/RECORD"] = _record(files, f"{info}/RECORD").encode()
    made = folder / f"perdure-{perdure.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _MOMENT)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            wheel.writestr(entry, data)
    return made


def _shipped(package: Path) -> list[Path]:
    return [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def _record(files: dict[str, bytes], own: str) -> str:
    lines = []
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(data)}\n")
    return "".join([*lines, f"{own},,\n"])
