"""What an image stands on: a Python on some layers, from a layout, an archive, a registry, or Debian's packages."""

from __future__ import annotations

import json
import re
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import zstandard

from perdure.build.blobs import INDEX, LAYER, Blob, Blobs
from perdure.build.errors import BuildError
from perdure.build.layers import Layer

ARCHITECTURES: Final = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
"""The platforms there are, with the machine as the names of wheels have it."""

_INDEXES: Final = (INDEX, "application/vnd.docker.distribution.manifest.list.v2+json")
_KINDS: Final = {
    "application/vnd.docker.image.rootfs.diff.tar.gzip": LAYER,
    "application/vnd.docker.image.rootfs.diff.tar": LAYER.removesuffix("+gzip"),
}
_PYTHON: Final = re.compile(r"(?:.*/)?bin/python(3\.\d+)")
_OURS: Final = ("opt/perdure/", "app/")
_LIBC: Final = re.compile(r"(?:.*/)?(libc\.so\.6|libc-2\.\d+\.so|ld-musl-[\w]+\.so\.1)")
_TOOLS: Final = re.compile(
    r"(?:.*/)?(?:site|dist)-packages/(?:pip|setuptools|wheel|pkg_resources|_distutils_hack|uv)(?:-[\w.]+\.(?:dist|egg)-info)?"
    r"|(?:.*/)?bin/(?:pip|pip3|pip3\.\d+|wheel|uv|uvx)|(?:.*/)?lib/python3\.\d+/ensurepip"
)


class Package(NamedTuple):
    """A package of the base, for the bill of materials."""

    name: str
    version: str
    purl: str


class Base(NamedTuple):
    """Layers with a Python.

    Attributes:
        name: What it was called.
        digest: Of its manifest; empty for one made here.
        layers: From below.
        config: Its configuration, of the OCI image specification.
        python: The path of its Python.
        version: Of that, as `3.12`.
        libc: What wheels must be made for: `manylinux_2_36` or `musl`.
        hidden: What the image takes away: installers, and folders (with a slash at the end) of perdure's own.
        packages: What is in it, as far as that is known.
    """

    name: str
    digest: str
    layers: tuple[Layer, ...]
    config: dict[str, Any]
    python: str
    version: str
    libc: str
    hidden: tuple[str, ...] = ()
    packages: tuple[Package, ...] = ()


def machine_of(platform: str) -> str:
    """Return the machine of a platform.

    Raises:
        BuildError: It is none that images are built for.
    """
    if platform not in ARCHITECTURES:
        raise BuildError(f"no images are built for {platform!r}", hint=f"one of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[platform]


@contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    """Unpack an archive of a layout into a folder for a while."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
        except (tarfile.TarError, EOFError) as e:
            raise BuildError(f"{archive} is not an archive of an image: {e}", hint="an oci-archive is") from e
        yield Path(folder)


def from_layout(folder: Path, name: str, platform: str, blobs: Blobs, tag: str | None = None) -> Base:
    """Read a base from a layout.

    Args:
        folder: The layout.
        name: What it is called.
        platform: Whose image is wanted, as `linux/amd64`.
        blobs: Where its layers go.
        tag: Which of its images; not needed if there is one.

    Raises:
        BuildError: It is no layout, has no such image, or no Python.
    """
    index = folder / "index.json"
    if not index.is_file():
        hint = "make one with `skopeo copy docker://IMAGE oci:DIR`, or say --base debian"
        raise BuildError(f"{name} is no image layout: it has no index.json", hint=hint)
    theirs = Blobs(folder)
    found = json.loads(index.read_bytes())["manifests"]
    if tag is not None:
        found = [each for each in found if tag == each.get("annotations", {}).get("org.opencontainers.image.ref.name")]
    manifest = _manifest(found, theirs, name, platform)
    read = theirs.get_json(manifest["digest"])
    config = theirs.get_json(read["config"]["digest"])
    _check_platform(config, name, platform)
    for layer in read["layers"]:
        blobs.take(theirs, layer["digest"])
    return _inspected(name, manifest["digest"], read, config, blobs)


def _manifest(found: list[dict[str, Any]], blobs: Blobs, name: str, platform: str) -> dict[str, Any]:
    """Return the one descriptor that is meant, through indexes of platforms."""
    if len(found) > 1:
        found = [each for each in found if is_for(each, platform)] or found
    if len(found) != 1:
        what = "no image" if not found else f"{len(found)} images"
        raise BuildError(f"{name} has {what} for {platform}", hint="name one: PATH:TAG")
    if found[0]["mediaType"] in _INDEXES:
        return _manifest(
            [each for each in blobs.get_json(found[0]["digest"])["manifests"] if is_for(each, platform)],
            blobs,
            name,
            platform,
        )
    return found[0]


def is_for(described: dict[str, Any], platform: str) -> bool:
    """Return whether an entry of an index is for a platform."""
    its = described.get("platform", {})
    return f"{its.get('os')}/{its.get('architecture')}" == platform


def _check_platform(config: dict[str, Any], name: str, platform: str) -> None:
    its = f"{config.get('os')}/{config.get('architecture')}"
    if its != platform:
        raise BuildError(f"{name} is for {its}, not for {platform}", hint=f"--platform {its}, or another --base")


def _inspected(name: str, digest: str, manifest: dict[str, Any], config: dict[str, Any], blobs: Blobs) -> Base:
    """Look for the Python, the C library and the installers in a base's layers."""
    described = zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True)
    layers = tuple(
        Layer(Blob(_kind(str(one["mediaType"])), one["digest"], one["size"]), diff, f"base {name}")
        for one, diff in described
    )
    pythons: dict[str, str] = {}
    hidden: set[str] = set()
    libc = ""
    for layer in layers:
        with _opened(layer, blobs) as tar:
            for member in tar:
                path = member.name.removeprefix("./").strip("/")
                if ours := next((folder for folder in _OURS if path.startswith(folder)), None):
                    hidden.add(ours)  # the base is an image of perdure's
                elif (match := _PYTHON.fullmatch(path)) and not member.isdir():
                    pythons[path] = match[1]
                elif match := _LIBC.fullmatch(path):
                    libc = _libc(tar, member, match[1]) or libc
                elif _TOOLS.fullmatch(path):
                    hidden.add(path)
    folders = _folders(config)
    ordered = sorted(pythons, key=lambda path: (_rank(path, folders), -int(pythons[path].partition(".")[2])))
    if not ordered:
        raise BuildError(
            f"{name} has no Python", hint="a base has a bin/python3.N: python:3.12-slim, or say --base debian"
        )
    if not libc:
        raise BuildError(f"{name} has no C library that is known, so no wheels can be chosen", hint="glibc or musl")
    python = ordered[0]
    return Base(name, digest, layers, config, f"/{python}", pythons[python], libc, tuple(sorted(hidden)))


def _kind(theirs: str) -> str:
    return _KINDS.get(theirs, theirs)


@contextmanager
def _opened(layer: Layer, blobs: Blobs) -> Iterator[tarfile.TarFile]:
    with blobs.path(layer.blob.digest).open("rb") as file:
        source: IO[bytes] = file
        if layer.blob.kind.endswith("+zstd"):
            source = zstandard.ZstdDecompressor().stream_reader(file)
        with tarfile.open(fileobj=source, mode="r|gz" if layer.blob.kind.endswith("gzip") else "r|") as tar:
            yield tar


def _libc(tar: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> str:
    if name.startswith("ld-musl"):
        return "musl"
    content = tar.extractfile(member) if member.isreg() else None
    version = re.search(rb"GNU C Library[^\n]* version 2\.(\d+)", content.read()) if content else None
    return f"manylinux_2_{int(version[1])}" if version else ""


def _folders(config: dict[str, Any]) -> list[str]:
    """Return the folders of a base's PATH."""
    variables = dict(each.split("=", 1) for each in config.get("config", {}).get("Env") or ())
    return [each.strip("/") for each in variables.get("PATH", "/usr/local/bin:/usr/bin:/bin").split(":")]


def _rank(path: str, folders: list[str]) -> int:
    folder = path.rpartition("/")[0]
    return folders.index(folder) if folder in folders else len(folders)
