"""`perdure build`, `perdure vendor`, `perdure dockerfile`: images of a project."""

from __future__ import annotations

import platform as machine
from pathlib import Path
from typing import Annotated, Any

import typer

from perdure.build import dockerfile as dockerfiles
from perdure.build import layouts, making, project, wheels
from perdure.build.errors import BuildError, explained
from perdure.build.image import describe, moment_of
from perdure.cli import render
from perdure.cli.exits import CommandError, Exit
from perdure.cli.options import AsJson
from perdure.cli.serve import Config

INSTALL = "pip install 'perdure[build]'"
_MACHINES = {"x86_64": "linux/amd64", "AMD64": "linux/amd64", "aarch64": "linux/arm64", "arm64": "linux/arm64"}

BaseName = Annotated[
    str | None,
    typer.Option(
        "--base", metavar="BASE", help="debian, an OCI layout or archive, a registry's image  \\[default: debian]"
    ),
]
Platforms = Annotated[
    str | None,
    typer.Option("--platform", metavar="LIST", help="linux/amd64, linux/arm64, or both  \\[default: this machine's]"),
]
Cache = Annotated[
    Path | None, typer.Option("--cache", metavar="DIR", help="What is used again  \\[default: ~/.cache/perdure/build]")
]
Pull = Annotated[bool, typer.Option("--pull", help="Look for a newer base")]


def build(
    tag: Annotated[
        list[str], typer.Option("--tag", "-t", metavar="NAME[:TAG]", help="The image's name; may be repeated")
    ],
    config: Config = None,
    base: BaseName = None,
    output: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            "-o",
            metavar="KIND[:PATH]",
            help="oci-dir, oci-archive or docker-archive; may be repeated  \\[default: oci-archive]",
        ),
    ] = None,
    load: Annotated[bool, typer.Option("--load", help="Give it to Docker or Podman")] = False,
    push: Annotated[bool, typer.Option("--push", help="Send it to the registry that the name says")] = False,
    platform: Platforms = None,
    wheelhouse: Annotated[
        Path | None, typer.Option("--wheelhouse", metavar="DIR", help="Take packages from here, ask no index")
    ] = None,
    label: Annotated[list[str] | None, typer.Option("--label", metavar="NAME=VALUE", help="May be repeated")] = None,
    pull: Pull = False,
    cache: Cache = None,
    as_json: AsJson = False,
) -> Exit:
    """Build an image of a project, without a daemon."""
    tags = [layouts.read_tag(each) for each in tag]
    wanted = output or ([] if load or push else ["oci-archive"])
    request = request_of(config, base, platform, cache)._replace(
        tags=tags,
        outputs=[layouts.read_output(each, tags[0]) for each in wanted],
        labels=dict(_label(each) for each in label or ()),
        wheelhouse=wheelhouse,
        load=load,
        push=push,
        renew=pull,
    )
    with render.working("building", quiet=as_json):
        made = making.make(request)
    places = [f"{each.kind}:{each.path}" for each in request.outputs]
    if as_json:
        told = [describe(image) for image in made.images]
        render.print_json(
            {"digest": made.main.digest, "tags": [str(each) for each in tags], "images": told, "written": places}
        )
        return Exit.OK
    for image in made.images:
        for layer in image.layers:
            render.note(f"{layer.blob.size / 1e6:8.1f} MB  {layer.history}")
        render.note(f"{image.size / 1e6:8.1f} MB  {image.platform}")
    for note in (
        *places,
        *([f"loaded into {made.engine}"] if made.engine else ()),
        *([f"pushed {each}" for each in tags] if push else ()),
    ):
        render.note(note)
    render.out.print(made.main.digest, markup=False)
    return Exit.OK


def vendor(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the wheels go", show_default=False)],
    config: Config = None,
    base: BaseName = None,
    platform: Platforms = None,
    cache: Cache = None,
) -> Exit:
    """Fetch the wheels that an image needs, to build it where there is no index."""
    request = request_of(config, base, platform, cache)
    with render.working("fetching wheels", quiet=False), making.targets(request) as bases:
        pairs = zip(request.platforms, bases, strict=True)
        chosen = [wheels.Target(each, base.version, base.libc) for each, base in pairs]
        names = wheels.vendor(request.project, chosen, folder)
    render.out.print(f"{folder}: {len(names)} wheels", markup=False)
    return Exit.OK


def dockerfile(
    config: Config = None,
    base: BaseName = None,
    wheelhouse: Annotated[
        bool, typer.Option("--wheelhouse", help="Take packages from ./wheelhouse, ask no index")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there, not to stdout")
    ] = None,
) -> Exit:
    """Write a Dockerfile of the same image."""
    path, told = configuration(config)
    found = project.read(path, told, for_dockerfile=True)
    text = dockerfiles.write(found, told.get("dockerfile_lines") or (), base, wheelhouse=wheelhouse)
    for each in found.notes:
        render.note(each)
    if output is None:
        render.out.print(text, markup=False, emoji=False, end="")
        render.note("with --output FILE, FILE.dockerignore is written too: it keeps .env out of the image")
        return Exit.OK
    with explained(output):
        output.write_text(text, encoding="utf-8")
        output.with_name(f"{output.name}.dockerignore").write_text(dockerfiles.write_ignored(found), encoding="utf-8")
    return Exit.OK


def request_of(config: Path | None, base: str | None, platform: str | None, cache: Path | None) -> making.Request:
    """Return what is asked of a build, without names and outputs."""
    path, told = configuration(config)
    found = project.read(path, told)
    for each in found.notes:
        render.note(each)
    return making.Request(
        project=found,
        tags=(),
        outputs=(),
        platforms=tuple(dict.fromkeys((platform or _own_platform()).split(","))),
        base=base,
        labels={},
        wheelhouse=None,
        cache=cache or making.default_cache(),
        moment=moment_of(),
        load=False,
        push=False,
        renew=False,
        note=render.note,
    )


def configuration(config: Path | None) -> tuple[Path, dict[str, Any]]:
    """Return the configuration's path and content, checked as the server checks it."""
    try:
        import msgspec

        from perdure.server.config import find_config, load_config
    except ModuleNotFoundError as missing:
        raise CommandError(f"building needs {missing.name}, not installed here", hint=INSTALL) from missing
    path = find_config(config, Path.cwd())
    return path, msgspec.to_builtins(load_config(path))


def _own_platform() -> str:
    found = _MACHINES.get(machine.machine())
    if found is None:
        raise BuildError(
            f"no images are built for {machine.machine()}", hint=f"name one: --platform {_MACHINES['x86_64']}"
        )
    return found


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise BuildError(f"--label {text!r} is not NAME=VALUE")
    return name, value
