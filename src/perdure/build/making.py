"""A build from its request to its outputs; everything in between lies in one temporary folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from perdure.build import bases, debian, engines, layouts
from perdure.build.bases import Base
from perdure.build.blobs import Blob, Blobs
from perdure.build.errors import BuildError, explained
from perdure.build.image import Image, Wanted, build
from perdure.build.layouts import Kind, Output, Tag
from perdure.build.project import Project


class Request(NamedTuple):
    """What is asked of `perdure build`.

    Attributes:
        project: What an image is built of.
        tags: Its names.
        outputs: Files that are written.
        platforms: As `linux/amd64`.
        base: `debian`, a layout, an archive, or an image of a registry; None: the project's, else Debian.
        labels: More labels.
        wheelhouse: Where wheels are; None: the index.
        cache: A folder that stays.
        moment: The time of everything in the image.
        load: Whether Docker or Podman gets it.
        push: Whether the registries that the tags name get it.
        renew: Whether to look for a newer base.
        note: Is told what a person should know.
    """

    project: Project
    tags: Sequence[Tag]
    outputs: Sequence[Output]
    platforms: Sequence[str]
    base: str | None
    labels: dict[str, str]
    wheelhouse: Path | None
    cache: Path
    moment: int
    load: bool
    push: bool
    renew: bool
    note: Callable[[str], None]


class Made(NamedTuple):
    """What a build made.

    Attributes:
        main: The blob that the tags mean: a manifest, or an index of platforms.
        images: One a platform.
        engine: Which engine has it, None if none was asked to.
    """

    main: Blob
    images: tuple[Image, ...]
    engine: str | None


def default_cache() -> Path:
    """Return the folder for what is used again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "perdure" / "build"


def make(request: Request) -> Made:
    """Build an image and put it where it was asked for.

    Raises:
        BuildError: It can't be done; nothing half-written is left.
    """
    for platform in request.platforms:
        bases.machine_of(platform)
    if len(request.platforms) > 1 and (
        request.load or any(each.kind == Kind.DOCKER_ARCHIVE for each in request.outputs)
    ):
        raise BuildError("--load and docker-archive take one platform", hint="name one --platform, or use oci-archive")
    with explained(request.cache):
        request.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="perdure-build-") as name:
            layout = Path(name)
            images = tuple(_image(request, platform, Blobs(layout)) for platform in request.platforms)
            main = layouts.write_index(layout, images, request.tags)
            for output in request.outputs:
                layouts.write(output, layout, images, request.tags)
            engine = _load(request, layout, images) if request.load else None
            if request.push:
                _push(request, layout, images, main)
            return Made(main, images, engine)


def _image(request: Request, platform: str, blobs: Blobs) -> Image:
    base = open_base(request, platform, blobs)
    first = request.tags[0]
    name = first.name.rpartition("/")[2]
    wanted = Wanted(name, first.tag, platform, request.cache, request.labels, request.wheelhouse, request.moment)
    own = [output.path for output in request.outputs]
    project = request.project.without(request.cache, *own, *([request.wheelhouse] if request.wheelhouse else ()))
    return build(project, base, wanted, blobs, request.note)


def open_base(request: Request, platform: str, blobs: Blobs) -> Base:
    """Find the base that is asked for."""
    name = request.base or request.project.base or "debian"
    if name == "debian":
        return debian.make(platform, blobs, request.cache, request.moment, renew=request.renew)
    if (found := _local(name)) is not None:
        path, tag = found
        if path.is_dir():
            return bases.from_layout(path, name, platform, blobs, tag)
        with bases.unpacked(path) as folder:
            return bases.from_layout(folder, name, platform, blobs, tag)
    if name.startswith((".", "/")):
        raise BuildError(f"base: there is no image layout and no archive {name}", hint="or say --base debian")
    from perdure.build import registry

    return registry.open_base(name, platform, blobs, request.cache)


def _local(name: str) -> tuple[Path, str | None] | None:
    """Return the file or folder that `PATH` or `PATH:TAG` means, None if there is none."""
    if Path(name).exists():
        return Path(name), None
    path, _, tag = name.rpartition(":")
    return (Path(path), tag) if path and Path(path).exists() else None


def _load(request: Request, layout: Path, images: Sequence[Image]) -> str:
    archive = layout.with_suffix(".tar")
    try:
        layouts.write(Output(Kind.DOCKER_ARCHIVE, archive), layout, images, request.tags)
        return engines.load(archive)
    finally:
        archive.unlink(missing_ok=True)


def _push(request: Request, layout: Path, images: Sequence[Image], main: Blob) -> None:
    from perdure.build.registry import Registry

    for tag in request.tags:
        Registry(tag).send(layout, images, main)


@contextmanager
def targets(request: Request) -> Iterator[list[Base]]:
    """Open the bases of all platforms, to know what packages are chosen for."""
    with explained(request.cache), tempfile.TemporaryDirectory(prefix="perdure-build-") as name:
        request.cache.mkdir(parents=True, exist_ok=True)
        yield [open_base(request, platform, Blobs(Path(name))) for platform in request.platforms]
