"""What goes into a bundle, and what becomes of it where it arrives: image, chart, wheels and the project's files."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from perdure import __version__
from perdure.build import bundles, engines, kubernetes, layouts, making, wheels
from perdure.build.blobs import Blobs
from perdure.build.errors import BuildError
from perdure.build.image import APPLICATION, Image
from perdure.build.layouts import Kind, Output, Tag

IMAGE: Final = "image"
CHART: Final = "chart"
WHEELS: Final = "wheels"
PROJECT: Final = "project"


def make(request: making.Request, place: Path, key: Path | None) -> tuple[str, dict[str, Any]]:
    """Build an image and bundle it with all that it takes to run it; return the bundle's SHA-256, and about it.

    Args:
        request: How the image is built; its outputs are left alone.
        place: The archive.
        key: See `bundles.write`.

    Raises:
        BuildError: It can't be built, or not be written.
    """
    with tempfile.TemporaryDirectory(prefix="perdure-bundle-") as name:
        folder = Path(name)
        with making.targets(request) as bases:
            pairs = zip(request.platforms, bases, strict=True)
            chosen = [wheels.Target(each, base.version, base.libc) for each, base in pairs]
        if request.wheelhouse is None:
            wheels.vendor(request.project, chosen, folder / WHEELS)
        else:
            bundles.copy_tree(request.wheelhouse, folder / WHEELS)
        output = Output(Kind.OCI_DIR, folder / IMAGE)
        made = making.make(request._replace(outputs=[output], wheelhouse=folder / WHEELS))
        bundles.copy_tree(kubernetes.CHART, folder / CHART)
        _unpack_application(made.images[0], Blobs(folder / IMAGE), folder / PROJECT)
        about = {
            "format": bundles.FORMAT,
            "perdure": __version__,
            "tags": [str(tag) for tag in request.tags],
            "digest": made.main.digest,
            "platforms": list(request.platforms),
            "python": sorted({each.version for each in chosen}),
        }
        (folder / bundles.ABOUT).write_text(json.dumps(about, indent=2) + "\n")
        return bundles.write(folder, place, key, request.moment), about


def _unpack_application(image: Image, blobs: Blobs, folder: Path) -> None:
    """Take the project's files from the image's last layer: what is in it is what is deployed without containers."""
    root = f"{APPLICATION.lstrip('/')}/"
    with tarfile.open(blobs.path(image.layers[-1].blob.digest)) as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            if not name.startswith(root) or not member.isreg() or "__pycache__" in name:
                continue
            path = folder / name.removeprefix(root)
            path.parent.mkdir(parents=True, exist_ok=True)
            source = tar.extractfile(member)
            assert source is not None
            path.write_bytes(source.read())


def load(folder: Path, tags: Sequence[Tag]) -> str:
    """Give an unpacked bundle's image to Docker or Podman; return which.

    Raises:
        BuildError: None is here, or takes it.
    """
    images, _ = layouts.read(folder / IMAGE)
    with tempfile.TemporaryDirectory(prefix="perdure-bundle-") as name:
        archive = Path(name) / "image.tar"
        layouts.write(Output(Kind.DOCKER_ARCHIVE, archive), folder / IMAGE, images, tags)
        return engines.load(archive)


def push(folder: Path, tag: Tag) -> None:
    """Send an unpacked bundle's image to a registry.

    Raises:
        BuildError: The registry isn't reached, or refuses.
    """
    from perdure.build.registry import Registry

    images, main = layouts.read(folder / IMAGE)
    Registry(tag).send(folder / IMAGE, images, main)


def make_environment(folder: Path, about: dict[str, Any]) -> Path:
    """Make a virtual environment of an unpacked bundle's wheels; return its Python.

    Raises:
        BuildError: They are for another Python, or can't be installed.
    """
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    if own not in about["python"]:
        raise BuildError(
            f"the wheels are for Python {', '.join(about['python'])}, and this is {own}", hint="run this by it"
        )
    place = folder / "venv"
    python = place / "bin" / "python"
    names = sorted({"==".join(wheel.name.split("-")[:2]) for wheel in (folder / WHEELS).glob("*.whl")})
    source = ["--no-index", "--find-links", str(folder / WHEELS), "--no-deps"]
    for command in (
        ["venv", "--quiet", "--python", sys.executable, str(place)],
        ["pip", "install", "--quiet", "--python", str(python), *source, *names],
    ):
        done = subprocess.run(  # noqa: S603 - uv
            [wheels.find_uv(), "--offline", "--no-config", *command], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BuildError(f"uv {command[0]}: {done.stderr.strip()[-500:]}")
    return python
