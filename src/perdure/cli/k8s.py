"""`perdure k8s`: manifests for Kubernetes, or the Helm chart that they are made of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from perdure.build import kubernetes, layouts
from perdure.build.errors import explained
from perdure.cli import render
from perdure.cli.build import configuration
from perdure.cli.exits import CommandError, Exit
from perdure.cli.serve import Config

_DIGEST = re.compile(r"(.+)@(sha256:[0-9a-f]{64})")


def k8s(
    image: Annotated[
        str | None, typer.Option("--image", metavar="NAME:TAG", help="The image, as the cluster pulls it")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="The release's name  \\[default: the project's]")] = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Where it goes")] = "default",
    values: Annotated[
        list[Path] | None, typer.Option("--values", "-f", metavar="FILE", help="Values of the chart; may be repeated")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="One of them; may be repeated")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there, not to stdout")
    ] = None,
    chart: Annotated[
        Path | None, typer.Option("--chart", metavar="DIR", help="Write the Helm chart itself, and nothing else")
    ] = None,
    config: Config = None,
) -> Exit:
    """Write manifests for Kubernetes: API, workers, migrations, and what keeps them apart and alive."""
    if chart is not None:
        kubernetes.write_chart(chart)
        render.note(f"next: helm upgrade --install NAME {chart} --set image.repository=...,image.tag=...")
        return Exit.OK
    if image is None:
        raise CommandError("--image names the image", hint="`perdure build -t NAME:TAG --push` makes one")
    path, told = configuration(config)
    prefix = (told.get("http") or {}).get("mount_prefix") or ""
    known: dict[str, Any] = {"image": _image(image), "prefix": prefix}
    default = re.sub(r"[^a-z0-9-]+", "-", path.resolve().parent.name.lower()).strip("-") or "agent"
    release = kubernetes.Release(name or default, namespace, known, values or (), set_ or ())
    text = kubernetes.render(release)
    if output is None:
        render.out.print(text, markup=False, emoji=False, end="")
    else:
        with explained(output):
            output.write_text(text, encoding="utf-8")
    return Exit.OK


def _image(text: str) -> dict[str, str]:
    if (found := _DIGEST.fullmatch(text)) is not None:
        return {"repository": found[1], "digest": found[2]}
    tag = layouts.read_tag(text)
    return {"repository": tag.name, "tag": tag.tag}
