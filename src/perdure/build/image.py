"""An image: a base, the packages, the application; and its configuration."""

from __future__ import annotations

import datetime as dt
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from perdure import __version__
from perdure.build import bytecode, sbom, wheels
from perdure.build.bases import Base
from perdure.build.blobs import CONFIG, MANIFEST, Blob, Blobs
from perdure.build.errors import BuildError
from perdure.build.layers import Files, Layer, reused
from perdure.build.project import CONFIG_NAME, Project

USER: Final = 65532
PORT: Final = 8000
APPLICATION: Final = "/app"
DATA: Final = "/data"
BILL: Final = "/usr/share/perdure/sbom.cdx.json"
PYTHON: Final = f"{wheels.ENVIRONMENT}/bin/python"
COMMAND: Final = (PYTHON, "-m", "perdure.cli")
HEALTH: Final = (PYTHON, "-m", "perdure.server.health")
ENVIRONMENT: Final = {
    "DATABASE_URI": f"sqlite:///{DATA}/perdure.db",
    "HOME": DATA,
    "PERDURE_CONFIG": f"{APPLICATION}/{CONFIG_NAME}",
    "PERDURE_HOST": "0.0.0.0",  # noqa: S104 - a container's own; without keys or auth the server doesn't start there
    "PERDURE_PORT": str(PORT),
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "SQLITE_TMPDIR": DATA,
}
_INTERVAL: Final = 10 * 10**9
_PATIENCE: Final = 5 * 10**9


class Image(NamedTuple):
    """An image for one platform.

    Attributes:
        manifest: Its manifest's blob; its digest is the image's.
        config: Its configuration's.
        layers: All of them.
        platform: As `linux/amd64`.
    """

    manifest: Blob
    config: Blob
    layers: tuple[Layer, ...]
    platform: str

    @property
    def size(self) -> int:
        """Bytes of all, as they are stored and sent."""
        return self.manifest.size + self.config.size + sum(layer.blob.size for layer in self.layers)


class Wanted(NamedTuple):
    """What is asked of an image.

    Attributes:
        name: The application's name.
        version: Its version.
        platform: As `linux/amd64`.
        labels: More labels.
        cache: A folder that stays, for layers that are used again.
        wheelhouse: Where wheels are; None: the index.
        moment: The time of everything in it, in seconds since 1970.
    """

    name: str
    version: str
    platform: str
    cache: Path
    labels: Mapping[str, str] = {}
    wheelhouse: Path | None = None
    moment: int = 0


def moment_of(environment: Mapping[str, str] = os.environ) -> int:
    """Return the time that images say: SOURCE_DATE_EPOCH, as reproducible-builds.org specifies it, else 0.

    Raises:
        BuildError: It is no number.
    """
    text = environment.get("SOURCE_DATE_EPOCH", "0")
    if not text.isdecimal():
        raise BuildError(f"SOURCE_DATE_EPOCH={text!r} is not a number of seconds")
    return int(text)


def build(project: Project, base: Base, wanted: Wanted, blobs: Blobs, note: Callable[[str], None]) -> Image:
    """Build an image.

    Args:
        project: What of.
        base: On what.
        wanted: How.
        blobs: Where its blobs go.
        note: Is told what a person should know.

    Raises:
        BuildError: Its packages can't be had, or it wants another Python than the base has.
    """
    if project.python and project.python != base.version:
        hint = f"leave python_version out, or name a --base that has Python {project.python}"
        raise BuildError(f"python_version is {project.python}, and {base.name} has {base.version}", hint=hint)
    compiles = bytecode.can_compile(base.version)
    if not compiles:
        note(f"modules aren't compiled, so starts are slower: run perdure build on Python {base.version} for that")
    with tempfile.TemporaryDirectory(prefix="perdure-build-") as name:
        work = Path(name)
        wheels.install(project, wheels.Target(wanted.platform, base.version, base.libc), work, wanted.wheelhouse)
        layers = [*base.layers]
        files = _packages(work, base)
        inputs = [sys.version if compiles else None, wanted.moment, files.digests()]
        layers.append(reused(wanted.cache, blobs, inputs, partial(_write, files, wanted.moment, compiles=compiles)))
        bill = sbom.bill_of(wanted.name, wanted.version, base, work / "site")
        files = _application(project, compiles=compiles)
        files.add_file(BILL.lstrip("/"), bill)
        layers.append(files.write(blobs, f"application {wanted.name}", wanted.moment))
    config = blobs.put_json(_config(base, layers, wanted), CONFIG)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.described(),
        "layers": [layer.blob.described() for layer in layers],
        "annotations": _labels(base, wanted),
    }
    return Image(blobs.put_json(manifest, MANIFEST), config, tuple(layers), wanted.platform)


def _write(files: Files, moment: int, blobs: Blobs, *, compiles: bool) -> Layer:
    """Write the layer of packages, with their bytecode."""
    if compiles:
        bytecode.add_compiled(files, wheels.ENVIRONMENT.lstrip("/"))
    return files.write(blobs, "packages", moment)


def _packages(work: Path, base: Base) -> Files:
    """Return the layer of a virtual environment on the base's Python."""
    files = Files()
    root = wheels.ENVIRONMENT.lstrip("/")
    home = base.python.rpartition("/")[0]
    settings = f"home = {home}\ninclude-system-site-packages = false\nversion = {base.version}\n"
    files.add_file(f"{root}/pyvenv.cfg", settings.encode())
    for name in ("python", "python3", f"python{base.version}"):
        files.add_link(f"{root}/bin/{name}", base.python)
    if (work / "bin").is_dir():
        files.add_tree(work / "bin", f"{root}/bin")
    site = f"{root}/lib/python{base.version}/site-packages"
    files.add_tree(work / "site", site)
    for path in base.hidden:
        files.remove(path)
    return files


def _application(project: Project, *, compiles: bool) -> Files:
    """Return the layer of the project's own files."""
    root = APPLICATION.lstrip("/")
    files = Files()
    files.add_folder(root)
    files.add_tree(project.folder, root, project.wants)
    files.add_file(f"{root}/{CONFIG_NAME}", project.config)
    if compiles:
        bytecode.add_compiled(files, root)
    # A volume that is new gets the owner of what is there.
    files.add_folder(DATA.lstrip("/"), 0o700, USER)
    return files


def _labels(base: Base, wanted: Wanted) -> dict[str, str]:
    told = {
        "org.opencontainers.image.title": wanted.name,
        "org.opencontainers.image.version": wanted.version,
        "org.opencontainers.image.created": _written(wanted.moment),
        "org.opencontainers.image.base.name": base.name,
        "dev.perdure.version": __version__,
        "dev.perdure.sbom": BILL,
    }
    if base.digest:
        told["org.opencontainers.image.base.digest"] = base.digest
    return {**told, **wanted.labels}


def _config(base: Base, layers: list[Layer], wanted: Wanted) -> dict[str, Any]:
    inherited = base.config.get("config", {})
    variables = dict(each.split("=", 1) for each in inherited.get("Env") or ())
    path = variables.get("PATH", "/usr/local/bin:/usr/bin:/bin")
    variables |= {**ENVIRONMENT, "PATH": f"{wheels.ENVIRONMENT}/bin:{path}"}
    test = {
        "Test": ["CMD", *HEALTH],
        "Interval": _INTERVAL,
        "Timeout": _PATIENCE,
        "StartPeriod": _INTERVAL,
        "Retries": 3,
    }
    created = _written(wanted.moment)
    return {
        "architecture": wanted.platform.partition("/")[2],
        "os": "linux",
        **({"variant": base.config["variant"]} if "variant" in base.config else {}),
        "created": created,
        "config": {
            "User": f"{USER}:{USER}",
            "Env": [f"{name}={value}" for name, value in sorted(variables.items())],
            "Entrypoint": list(COMMAND),
            "Cmd": ["serve"],
            "WorkingDir": APPLICATION,
            "ExposedPorts": {f"{PORT}/tcp": {}},
            "Volumes": {DATA: {}},
            "StopSignal": "SIGTERM",
            "Labels": {**(inherited.get("Labels") or {}), **_labels(base, wanted)},
            "Healthcheck": test,  # Docker's; others leave it alone
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [{"created": created, "created_by": layer.history} for layer in layers],
    }


def _written(moment: int) -> str:
    return dt.datetime.fromtimestamp(moment, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def describe(image: Image) -> dict[str, Any]:
    """Return what a person is told of an image."""
    return {
        "platform": image.platform,
        "digest": image.manifest.digest,
        "bytes": image.size,
        "layers": [
            {"digest": each.blob.digest, "bytes": each.blob.size, "from": each.history} for each in image.layers
        ],
    }
