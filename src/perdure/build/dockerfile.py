"""The same image as a Dockerfile, for those who have a builder and prefer it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from perdure import __version__
from perdure.build import image, wheels
from perdure.build.project import NEVER, NEVER_ANYWHERE, Project

DEFAULT_PYTHON: Final = "3.12"


def write(project: Project, lines: Sequence[str], base: str | None, *, wheelhouse: bool) -> str:
    """Return the Dockerfile; its context is the folder of the configuration.

    Args:
        project: What of.
        lines: `dockerfile_lines` of the configuration.
        base: An image with a Python; None: the project's, else the official one.
        wheelhouse: Whether packages come from the folder `wheelhouse` of the context, not from an index.
    """
    python = project.python or DEFAULT_PYTHON
    named = base or project.base
    stands_on = f"python:{python}-slim" if named in {None, "debian"} else named
    variables = {**image.ENVIRONMENT, "PATH": f"{wheels.ENVIRONMENT}/bin:/usr/local/bin:/usr/bin:/bin"}
    parts = [
        "# syntax=docker/dockerfile:1",
        f"FROM {stands_on} AS packages",
        "COPY --from=ghcr.io/astral-sh/uv:latest /uv /usr/local/bin/uv",
        f"RUN uv venv --no-managed-python {wheels.ENVIRONMENT}",
        f"ENV VIRTUAL_ENV={wheels.ENVIRONMENT} UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1",
        *(_install(project, wheelhouse=wheelhouse)),
        "",
        f"FROM {stands_on}",
        f"COPY --from=packages {wheels.ENVIRONMENT} {wheels.ENVIRONMENT}",
        "RUN python3 -m pip uninstall --yes pip || true",
        *lines,
        f"COPY . {image.APPLICATION}",
        _heredoc(f"{image.APPLICATION}/perdure.json", project.config.decode()),
        f"RUN install -d -m 0700 -o {image.USER} -g {image.USER} {image.DATA}",
        "ENV " + " \\\n    ".join(f"{name}={json.dumps(value)}" for name, value in sorted(variables.items())),
        f"WORKDIR {image.APPLICATION}",
        f"VOLUME {json.dumps([image.DATA])}",
        f"EXPOSE {image.PORT}",
        f"USER {image.USER}:{image.USER}",
        f"HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD {json.dumps(list(image.HEALTH))}",
        f"ENTRYPOINT {json.dumps(list(image.COMMAND))}",
        'CMD ["serve"]',
    ]
    return "\n".join(parts) + "\n"


def _install(project: Project, *, wheelhouse: bool) -> list[str]:
    source = "--no-index --find-links /context/wheelhouse " if wheelhouse else ""
    mount = "RUN --mount=type=bind,target=/context "
    lines = []
    for root, package in project.locks:
        place = root.relative_to(project.folder)
        named = f" --package {package}" if package else ""
        exported = f"uv export --project /context/{place}{named} --frozen --no-dev --no-emit-workspace"
        command = f"{exported} --no-emit-package perdure -o /tmp/lock.txt"
        lines.append(f"{mount}{command} \\\n    && uv pip install {source}-r /tmp/lock.txt")
    lines += [f"{mount}uv pip install {source}-r /context/{file.relative_to(project.folder)}" for file in project.files]
    asked = " ".join(f"'{each}'" for each in (*project.requirements, f"perdure[{wheels.EXTRAS}]=={__version__}"))
    return [*lines, f"{mount}uv pip install {source}{asked}"]


def _heredoc(path: str, text: str) -> str:
    return f"COPY <<'PERDURE' {path}\n{text.rstrip()}\nPERDURE"


def write_ignored(project: Project) -> str:
    """Return NAME.dockerignore, which belongs beside the Dockerfile: it keeps secrets and rubbish out of the image."""
    never = [*NEVER, *(f"**/{pattern}" for pattern in NEVER_ANYWHERE)]
    return "\n".join([*never, *project.ignored]) + "\n"
