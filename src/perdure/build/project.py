"""What a project is to an image: its files, what it needs, and how its configuration goes in."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

from perdure.build.errors import BuildError

CONFIG_NAME: Final = "perdure.json"

NEVER: Final = (
    ".git",
    "dist",
    "wheelhouse",
    ".hg",
    ".venv",
    "venv",
    "node_modules",
    ".perdure",
    ".langgraph_api",
    ".DS_Store",
    ".dockerignore",
)
NEVER_ANYWHERE: Final = (
    "__pycache__",
    "*.pyc",
    ".env",
    ".env.*",
    ".*_cache",
    "*.egg-info",
    "*.db",
    "*.db-wal",
    "*.db-shm",
)
_USELESS: Final = {
    "dockerfile_lines": "they are commands of a Dockerfile: `perdure dockerfile` writes one that has them",
    "node_version": "graphs are Python's here",
    "ui": "graphs are Python's here",
    "ui_config": "graphs are Python's here",
    "keep_pkg_tools": "an image has no installers; leave it out",
    "pip_config_file": "uv fetches the packages: set UV_DEFAULT_INDEX, or write a uv.toml",
    "image_distro": "name the base instead: base_image, or --base",
    "api_version": "the server in the image is that of the perdure that builds it",
}


class Project(NamedTuple):
    """A project.

    Attributes:
        folder: Where its configuration is; what is below it goes into the image.
        config: The configuration as it is in the image.
        requirements: What it needs, as lines of a requirements file.
        files: Requirements files.
        locks: Folders with a uv.lock, each with the package of it that is meant, None for the folder's own.
        python: The version of Python it wants, None for any.
        base: The base that it names.
        ignored: Patterns of its .dockerignore.
        notes: What a person should know.
    """

    folder: Path
    config: bytes
    requirements: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    locks: tuple[tuple[Path, str | None], ...] = ()
    python: str | None = None
    base: str | None = None
    ignored: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def without(self, *places: Path) -> Project:
        """Return the project without files of a build that lie in its folder."""
        found = [place.resolve() for place in places]
        below = [str(place.relative_to(self.folder)) for place in found if place.is_relative_to(self.folder)]
        return self._replace(ignored=(*self.ignored, *below))

    def wants(self, path: str) -> bool:
        """Return whether a path below the folder goes into the image."""
        name = PurePosixPath(path).name
        if (
            path in NEVER
            or (self.folder / path / "oci-layout").is_file()
            or any(PurePosixPath(name).match(pattern) for pattern in NEVER_ANYWHERE)
        ):
            return False
        taken = True
        for pattern in self.ignored:
            inverted = pattern.startswith("!")
            if _matches(path, pattern.removeprefix("!")):
                taken = inverted
        return taken


def read(path: Path, config: dict[str, Any], *, for_dockerfile: bool = False) -> Project:
    """Read a project.

    Args:
        path: Its configuration file.
        config: What is in it, checked already.
        for_dockerfile: Whether a Dockerfile is wanted, which can do more than an image written here.

    Raises:
        BuildError: The configuration says something that an image can't do, or names what isn't there.
    """
    folder = path.resolve().parent
    _refuse(path, config, for_dockerfile=for_dockerfile)
    text = json.loads(path.read_bytes())
    notes: list[str] = []
    if isinstance(text.get("env"), str):
        notes.append(f"the variables of {text['env']} are not in the image: give them when it is started (--env-file)")
        del text["env"]
    found = Project(folder, json.dumps(text, indent=2, ensure_ascii=False).encode() + b"\n")
    requirements: list[str] = []
    files: list[Path] = []
    locks: list[tuple[Path, str | None]] = []
    if (source := config.get("source")) is not None:
        root = (folder / source.get("root", ".")).resolve()
        if not (root / "uv.lock").is_file():
            raise BuildError(f"{path}: source.root: {root} has no uv.lock", hint="make it with `uv lock`")
        locks.append((root, source.get("package")))
    for place in dict.fromkeys([".", *config.get("dependencies", ())]):
        local = (folder / place).resolve()
        if not _is_folder(place, local):
            requirements.append(place)
            continue
        if not local.is_dir():
            raise BuildError(f"{path}: dependencies: there is no folder {local}", hint=f"relative to {folder}")
        if not local.is_relative_to(folder):
            hint = "move the configuration above both: what is below its folder goes into the image"
            raise BuildError(f"{path}: dependencies: {place} is outside of {folder}", hint=hint)
        if not source:
            _needs_of(local, requirements, files, locks)
    return found._replace(
        requirements=tuple(dict.fromkeys(requirements)),
        files=tuple(files),
        locks=tuple(locks),
        python=config.get("python_version"),
        base=config.get("base_image"),
        ignored=_ignored(folder / ".dockerignore"),
        notes=tuple(notes),
    )


def _refuse(path: Path, config: dict[str, Any], *, for_dockerfile: bool) -> None:
    for key, hint in _USELESS.items():
        if config.get(key) and not (for_dockerfile and key == "dockerfile_lines"):
            raise BuildError(f"{path}: {key}: would have no effect on the image", hint=hint)


def _is_folder(place: str, local: Path) -> bool:
    return place.startswith((".", "/")) or local.is_dir()


def _needs_of(folder: Path, requirements: list[str], files: list[Path], locks: list[tuple[Path, str | None]]) -> None:
    """Note what a folder says it needs: its lock, else its project, else its requirements."""
    if (folder / "uv.lock").is_file():
        locks.append((folder, None))
    elif (folder / "pyproject.toml").is_file():
        try:
            told = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as e:
            raise BuildError(f"{folder / 'pyproject.toml'}: {e}") from e
        requirements += told.get("project", {}).get("dependencies", ())
    elif (folder / "requirements.txt").is_file():
        files.append(folder / "requirements.txt")


def _ignored(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        return ()
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return tuple(line.removeprefix("/").removesuffix("/") for line in lines if line and not line.startswith("#"))


def _matches(path: str, pattern: str) -> bool:
    """Match as .dockerignore does: from the root; `**` is any number of folders, `*` never crosses one."""
    expression = ""
    for part in re.split(r"(\*\*/?|\*|\?)", pattern.removeprefix("./")):
        special = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
        expression += special.get(part, re.escape(part))
    return re.fullmatch(f"{expression}(?:/.*)?", path) is not None
