"""`perdure bundle create|verify|install|key`: a project with all that it needs, as one signed archive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from perdure.build import bundles, bundling, layouts, signing
from perdure.cli import render
from perdure.cli.build import BaseName, Cache, Platforms, request_of
from perdure.cli.exits import CommandError, Exit
from perdure.cli.options import AsJson
from perdure.cli.serve import Config

bundle = typer.Typer(
    name="bundle",
    help="A project with all that it needs, as one signed archive, for places without a network.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Archive = Annotated[Path, typer.Argument(metavar="FILE", help="The bundle", show_default=False)]
PublicKey = Annotated[Path | None, typer.Option("--public-key", metavar="FILE", help="Whose signature it has to have")]
Unsigned = Annotated[bool, typer.Option("--unsigned", help="Without a signature")]


@bundle.command()
def create(
    tag: Annotated[
        list[str], typer.Option("--tag", "-t", metavar="NAME[:TAG]", help="The image's name; may be repeated")
    ],
    sign_key: Annotated[
        Path | None, typer.Option("--sign-key", metavar="FILE", help="The private key that signs it")
    ] = None,
    unsigned: Unsigned = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="\\[default: dist/NAME-TAG.bundle.tar]")
    ] = None,
    config: Config = None,
    base: BaseName = None,
    platform: Platforms = None,
    wheelhouse: Annotated[
        Path | None, typer.Option("--wheelhouse", metavar="DIR", help="Take packages from here, ask no index")
    ] = None,
    cache: Cache = None,
    as_json: AsJson = False,
) -> Exit:
    """Build an image, and write it with chart, wheels, the project's files, checksums and a signature."""
    if (sign_key is None) == (not unsigned):
        raise CommandError("say --sign-key FILE, or --unsigned", hint="`perdure bundle key FILE` makes a pair of keys")
    tags = [layouts.read_tag(each) for each in tag]
    place = output or Path("dist") / f"{tags[0].name.rpartition('/')[2]}-{tags[0].tag}.bundle.tar"
    request = request_of(config, base, platform, cache)._replace(tags=tags, wheelhouse=wheelhouse)
    with render.working("bundling", quiet=as_json):
        digest, about = bundling.make(request, place, sign_key)
    if as_json:
        render.print_json({"path": str(place), "sha256": digest, **about})
        return Exit.OK
    render.note(f"{place}: {place.stat().st_size / 1e6:.1f} MB")
    render.out.print(digest, markup=False)
    return Exit.OK


@bundle.command()
def verify(archive: Archive, public_key: PublicKey = None, unsigned: Unsigned = False, as_json: AsJson = False) -> Exit:
    """Check a bundle's signature and every file in it."""
    _tell(bundles.verify(archive, _key(public_key, unsigned=unsigned)), as_json=as_json)
    return Exit.OK


@bundle.command()
def install(
    archive: Archive,
    into: Annotated[Path, typer.Option("--into", metavar="DIR", help="A new folder", show_default=False)],
    public_key: PublicKey = None,
    unsigned: Unsigned = False,
    load: Annotated[bool, typer.Option("--load", help="Give the image to Docker or Podman")] = False,
    push: Annotated[
        str | None, typer.Option("--push", metavar="NAME:TAG", help="Send the image to a registry, under this name")
    ] = None,
    venv: Annotated[
        bool, typer.Option("--venv", help="Make DIR/venv of the wheels, to run without containers")
    ] = False,
    as_json: AsJson = False,
) -> Exit:
    """Check a bundle, unpack it, and put what is in it where it is used."""
    about = bundles.unpack(archive, _key(public_key, unsigned=unsigned), into)
    if load:
        render.note(f"loaded into {bundling.load(into, [layouts.read_tag(each) for each in about['tags']])}")
    if push is not None:
        bundling.push(into, layouts.read_tag(push))
        render.note(f"pushed {push}")
    if venv:
        bundling.make_environment(into, about)
        render.note(f"next: cd {into / bundling.PROJECT} && ../venv/bin/perdure up")
    _tell(about, as_json=as_json)
    return Exit.OK


@bundle.command()
def key(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The private key's file", show_default=False)],
) -> Exit:
    """Make a pair of keys: FILE signs, FILE.pub verifies."""
    render.out.print(str(signing.make_keys(path)), markup=False)
    return Exit.OK


def _key(public_key: Path | None, *, unsigned: bool) -> Path | None:
    if (public_key is None) == (not unsigned):
        raise CommandError("say --public-key FILE, or --unsigned", hint="--unsigned checks the sums only")
    return public_key


def _tell(about: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        render.print_json(about)
    else:
        render.out.print(f"{', '.join(about['tags'])} {about['digest']}", markup=False)
