"""Images as files that other tools read: a layout (a folder, or an archive of it), and Docker's archive."""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

from perdure.build.blobs import INDEX, Blob, Blobs, encoded, replaced
from perdure.build.errors import BuildError, explained
from perdure.build.image import Image
from perdure.build.layers import Layer

_NAME: Final = re.compile(
    r"(?:[\w.-]+(?::\d+)?/)?[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)*"
)
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


class Kind(StrEnum):
    """Forms of an image in files."""

    OCI_DIR = "oci-dir"
    OCI_ARCHIVE = "oci-archive"
    DOCKER_ARCHIVE = "docker-archive"


class Output(NamedTuple):
    """What is written, and where."""

    kind: Kind
    path: Path


class Tag(NamedTuple):
    """A name of an image.

    Attributes:
        name: With the registry, if it has one: `registry.example/team/agent`.
        tag: The part after the colon; or a digest, of a base.
    """

    name: str
    tag: str

    def __str__(self) -> str:
        return f"{self.name}{'@' if self.tag.startswith('sha256:') else ':'}{self.tag}"


def read_tag(text: str) -> Tag:
    """Read `NAME` or `NAME:TAG`.

    Raises:
        BuildError: It isn't one.
    """
    name, colon, tag = text.rpartition(":")
    if not colon or "/" in tag:  # the colon of a port
        name, tag = text, "latest"
    if not _NAME.fullmatch(name) or not _TAG.fullmatch(tag):
        raise BuildError(f"{text!r} is no name of an image", hint="small letters, digits, and .-_/ between: my-agent:1")
    return Tag(name, tag)


def read_output(text: str, tag: Tag) -> Output:
    """Read `KIND` or `KIND:PATH`.

    Raises:
        BuildError: There is no such kind.
    """
    kind, colon, path = text.partition(":")
    if kind not in set(Kind):
        raise BuildError(f"there is no output {kind!r}", hint=f"one of {', '.join(Kind)}; with :PATH to say where")
    file = f"{tag.name.rpartition('/')[2]}-{tag.tag}"
    default = file if kind == Kind.OCI_DIR else f"{file}.tar"
    return Output(Kind(kind), Path(path) if colon else Path("dist") / default)


def write_index(folder: Path, images: Sequence[Image], tags: Sequence[Tag]) -> Blob:
    """Make a folder of blobs a layout; return the blob that a tag means: the manifest, or an index of platforms."""
    blobs = Blobs(folder)
    described = [image.manifest.described(platform=_platform(image)) for image in images]
    if len(images) == 1:
        main = images[0].manifest
        entry = described[0]
    else:
        main = blobs.put_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": described}, INDEX)
        entry = main.described()
    named = [
        {
            **entry,
            "annotations": {"io.containerd.image.name": str(tag), "org.opencontainers.image.ref.name": tag.tag},
        }
        for tag in tags
    ]
    write_entries(folder, named)
    return main


def write_entries(folder: Path, entries: Sequence[dict[str, Any]]) -> None:
    """Write what makes a folder of blobs a layout (the OCI image specification, image-layout.md)."""
    (folder / "index.json").write_bytes(encoded({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}))
    (folder / "oci-layout").write_bytes(encoded({"imageLayoutVersion": "1.0.0"}))


def read(folder: Path) -> tuple[list[Image], Blob]:
    """Read a layout of this package's own; return its images, and the blob that its tags mean.

    Raises:
        BuildError: It isn't one.
    """
    try:
        entry = json.loads((folder / "index.json").read_bytes())["manifests"][0]
        blobs = Blobs(folder)
        main = _described(entry)
        found = blobs.get_json(main.digest)["manifests"] if main.kind == INDEX else [entry]
        return [_read_image(each, blobs) for each in found], main
    except (OSError, ValueError, LookupError) as e:
        raise BuildError(f"{folder} is no image layout: {e}", hint="make it anew") from e


def _read_image(entry: dict[str, Any], blobs: Blobs) -> Image:
    manifest = blobs.get_json(entry["digest"])
    config = blobs.get_json(manifest["config"]["digest"])
    told = zip(manifest["layers"], config["rootfs"]["diff_ids"], config["history"], strict=True)
    layers = tuple(Layer(_described(layer), diff, history["created_by"]) for layer, diff, history in told)
    platform = f"{config['os']}/{config['architecture']}"
    return Image(_described(entry), _described(manifest["config"]), layers, platform)


def _described(entry: dict[str, Any]) -> Blob:
    return Blob(entry["mediaType"], entry["digest"], entry["size"])


def _platform(image: Image) -> dict[str, str]:
    system, _, architecture = image.platform.partition("/")
    return {"os": system, "architecture": architecture}


def write(output: Output, layout: Path, images: Sequence[Image], tags: Sequence[Tag]) -> None:
    """Write an image; what was there before is replaced when all is written, and stays if something fails.

    Args:
        output: What, and where.
        layout: A layout of it.
        images: Its images.
        tags: Its names.

    Raises:
        BuildError: There is no room, no right to write, or something else in that place.
    """
    path = output.path
    if output.kind == Kind.OCI_DIR and path.exists() and not (path / "oci-layout").is_file():
        raise BuildError(f"{path} is there, and is no image layout", hint="--output oci-dir:PATH names another place")
    if output.kind != Kind.OCI_DIR and path.is_dir():
        raise BuildError(f"{path} is a folder", hint=f"--output {output.kind}:FILE names a file")
    with explained(path), _unfinished(path) as new:
        if output.kind == Kind.OCI_DIR:
            shutil.copytree(layout, new)
        elif output.kind == Kind.OCI_ARCHIVE:
            _archive(new, sorted((each, each.relative_to(layout)) for each in layout.rglob("*") if each.is_file()))
        else:
            _docker_archive(new, layout, images, tags)
        replaced(new, path)


@contextmanager
def _unfinished(path: Path) -> Iterator[Path]:
    """Give a place beside a path, on the same disk, that is gone afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=".perdure-"))
    try:
        yield folder / "new"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _archive(path: Path, files: Sequence[tuple[Path | bytes, Path]]) -> None:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for source, name in files:
            info = tarfile.TarInfo(str(name))
            info.mode = 0o644
            if isinstance(source, bytes):
                info.size = len(source)
                tar.addfile(info, io.BytesIO(source))
                continue
            info.size = source.stat().st_size
            with source.open("rb") as file:
                tar.addfile(info, file)


def _docker_archive(path: Path, layout: Path, images: Sequence[Image], tags: Sequence[Tag]) -> None:
    """Write what `docker save` writes, and `docker load` and `podman load` read."""
    if len(images) > 1:
        raise BuildError("a docker-archive has one platform", hint="--output oci-archive has several")
    blobs, image = Blobs(layout), images[0]
    digests = [layer.blob.digest for layer in image.layers]
    names = [f"{digest.removeprefix('sha256:')}.tar.gz" for digest in digests]
    config = f"{image.config.digest.removeprefix('sha256:')}.json"
    told: list[dict[str, Any]] = [{"Config": config, "RepoTags": [str(tag) for tag in tags], "Layers": names}]
    files: list[tuple[Path | bytes, Path]] = [(blobs.path(image.config.digest), Path(config))]
    files += [(blobs.path(digest), Path(name)) for digest, name in dict(zip(digests, names, strict=True)).items()]
    _archive(path, [*files, (json.dumps(told).encode(), Path("manifest.json"))])
