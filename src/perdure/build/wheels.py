"""The packages of a project: wheels only, chosen for the image's Python and C library, put in place by uv."""

from __future__ import annotations

import csv
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from perdure.build.bases import ARCHITECTURES
from perdure.build.errors import BuildError
from perdure.build.own_wheel import write_own_wheel
from perdure.build.project import Project

ENVIRONMENT: Final = "/opt/perdure"
EXTRAS: Final = "server,postgres"
_KNOWN_GLIBC: Final = (17, 28, *range(31, 41))
"""Minor versions of the C library that uv knows as platforms."""
_UNSTABLE: Final = ("direct_url.json", "uv_cache.json", "uv_build.json", "REQUESTED", "INSTALLER")
"""Files of a package that say how it came here."""


class Target(NamedTuple):
    """What packages are chosen for.

    Attributes:
        platform: As `linux/amd64`.
        version: Of Python, as `3.12`.
        libc: `manylinux_2_36` or `musl`.
    """

    platform: str
    version: str
    libc: str

    @property
    def uv(self) -> str:
        """The platform's name for uv."""
        machine = ARCHITECTURES[self.platform]
        if self.libc == "musl":
            return f"{machine}-unknown-linux-musl"
        have = int(self.libc.rpartition("_")[2])
        return f"{machine}-manylinux_2_{max((each for each in _KNOWN_GLIBC if each <= have), default=17)}"

    @property
    def pip(self) -> list[str]:
        """The platforms' names for pip, the best first."""
        machine = ARCHITECTURES[self.platform]
        if self.libc == "musl":
            return [f"musllinux_1_{minor}_{machine}" for minor in (2, 1)]
        have = int(self.libc.rpartition("_")[2])
        old = [f"manylinux{name}_{machine}" for name in ("2014", "2010", "1")]
        return [f"manylinux_2_{minor}_{machine}" for minor in range(have, 4, -1)] + old + [f"linux_{machine}"]


def find_uv() -> str:
    """Return where uv is: beside this Python, or on the PATH.

    Raises:
        BuildError: It is nowhere.
    """
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if found is None:
        raise BuildError("packages are chosen by uv, not found here", hint="pip install 'perdure[build]'")
    return found


def install(project: Project, target: Target, folder: Path, wheelhouse: Path | None) -> None:
    """Put a project's packages, and this perdure, into a folder.

    Args:
        project: The project.
        target: What they are for.
        folder: An empty folder; `site` and `bin` are made in it.
        wheelhouse: Where wheels are, so that no index is asked; None: from the index.

    Raises:
        BuildError: No uv, no such package, no wheel of one for the target.
    """
    site = folder / "site"
    asked = _requirements(project, folder, wheelhouse)
    source = ["--no-index", "--find-links", str(_existing(wheelhouse))] if wheelhouse else []
    _uv(
        "pip", "install", "--target", str(site), *_chosen(target), *source, "--link-mode", "copy", *asked, target=target
    )
    if (site / "bin").is_dir():
        (site / "bin").rename(folder / "bin")
        for script in (folder / "bin").iterdir():
            _point_to_image(script)
    for found in site.glob("*.dist-info"):
        _make_stable(found)
    (site / ".lock").unlink(missing_ok=True)


def vendor(project: Project, targets: Iterable[Target], wheelhouse: Path) -> list[str]:
    """Fetch the wheels that `install` will want; return their names.

    Args:
        project: The project.
        targets: What for.
        wheelhouse: The folder that gets them, and this perdure's own.

    Raises:
        BuildError: See `install`.
    """
    wheelhouse.mkdir(parents=True, exist_ok=True)
    write_own_wheel(wheelhouse)
    for target in targets:
        asked = _requirements(project, wheelhouse, None)
        locked = wheelhouse / ".locked.txt"
        try:
            command = ["pip", "compile", "--quiet", "--generate-hashes", "--no-header", "--no-emit-package", "perdure"]
            _uv(*command, *_chosen(target), "-o", str(locked), *_as_files(asked, wheelhouse), target=target)
            _download(locked, target, wheelhouse)
        finally:
            for made in wheelhouse.glob(".*.txt"):
                made.unlink()
    return sorted(path.name for path in wheelhouse.glob("*.whl"))


def _existing(wheelhouse: Path) -> Path:
    if not any(wheelhouse.glob("*.whl")):
        raise BuildError(
            f"{wheelhouse} has no wheels", hint=f"make it where there is an index: perdure vendor {wheelhouse}"
        )
    return wheelhouse.resolve()


def _chosen(target: Target) -> list[str]:
    return [
        *("--python", sys.executable, "--python-version", target.version, "--python-platform", target.uv),
        *("--only-binary", ":all:", "--no-progress"),
    ]


def _requirements(project: Project, folder: Path, wheelhouse: Path | None) -> list[str]:
    """Return the arguments that name what a project needs."""
    own = write_own_wheel(folder)
    asked = [*project.requirements, f"perdure[{EXTRAS}] @ {own.resolve().as_uri()}"]
    for file in project.files:
        asked += ["-r", str(file)]
    for number, (root, package) in enumerate(project.locks):
        written = folder / f".lock-{number}.txt"
        command = ["export", "--project", str(root), "--frozen", "--no-dev", "--no-emit-workspace", "--quiet"]
        command += ["--no-emit-package", "perdure", "--format", "requirements-txt", "-o", str(written)]
        _uv(*command, *(("--package", package) if package else ()))
        asked += ["-r", str(written)]
    return asked


def _as_files(asked: list[str], folder: Path) -> list[str]:
    """Return the same as files, which is what `uv pip compile` reads."""
    files = [argument for before, argument in zip(["", *asked], asked, strict=False) if before == "-r"]
    lines = [each for each in asked if each != "-r" and each not in files]
    written = folder / ".asked.txt"
    written.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [*files, str(written)]


def _download(locked: Path, target: Target, wheelhouse: Path) -> None:
    tool = [sys.executable, "-m", "pip"] if importlib.util.find_spec("pip") else [find_uv(), "tool", "run", "pip"]
    command = [*tool, "download", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    command += ["--python-version", target.version, "--implementation", "cp", "-r", str(locked), "-d", str(wheelhouse)]
    for platform in target.pip:
        command += ["--platform", platform]
    for abi in (f"cp{target.version.replace('.', '')}", "abi3", "none"):
        command += ["--abi", abi]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - pip, arguments of ours
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [done.stderr.strip()]
        raise BuildError(f"wheels can't be fetched: {lines[-1].removeprefix('ERROR: ')}")


def _uv(*arguments: str, target: Target | None = None) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    done = subprocess.run(  # noqa: S603 - uv, with arguments of ours
        [find_uv(), *arguments], capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        raise _explained(done.stderr, target)


def _explained(told: str, target: Target | None) -> BuildError:
    """Say what uv says, in short, and what to do."""
    text = re.sub(r"\s+", " ", re.sub(r"[^\x00-\x7f]+", " ", told)).strip()
    where = f" for {target.platform}, Python {target.version}, {target.libc}" if target else ""
    hint = None
    if "No space left" in text or "os error 28" in text:
        return BuildError("no room for the packages: the disk is full", hint="make room; TMPDIR names another place")
    if (
        "no wheels" in text
        or "matching platform tag" in text
        or "matching Python" in text
        or "building is disabled" in text.lower()
    ):
        hint = "an image gets wheels only: another version, --platform or --base may have one, or a --wheelhouse"
    elif "not found in the provided package locations" in text or "--no-index" in text:
        hint = "the wheelhouse lacks it: `perdure vendor DIR` fetches all that is needed"
    elif "Failed to fetch" in text or "Could not connect" in text or "dns error" in text:
        hint = "no index is reached: build from a wheelhouse, --wheelhouse DIR, made by `perdure vendor DIR`"
    elif "lockfile" in text:
        hint = "bring it up to date with `uv lock`"
    return BuildError(f"the packages can't be had{where}: {text}", hint=hint)


def _point_to_image(script: Path) -> None:
    """Let a script start the image's Python, not the one of this machine."""
    data = script.read_bytes()
    if data.startswith(b"#!") and b"python" in data.partition(b"\n")[0]:
        script.write_bytes(f"#!{ENVIRONMENT}/bin/python\n".encode() + data.partition(b"\n")[2])
    elif data.startswith(b"#!/bin/sh\n'''exec'"):  # how a path that is too long for `#!` is written
        script.write_bytes(f"#!{ENVIRONMENT}/bin/python\n".encode() + data.split(b"\n", 3)[3])


def _make_stable(info: Path) -> None:
    """Take away what says when, from where and by whom a package was installed."""
    for name in _UNSTABLE:
        (info / name).unlink(missing_ok=True)
    record = info / "RECORD"
    if not record.is_file():
        return
    rows = csv.reader(io.StringIO(record.read_text(encoding="utf-8")))
    kept = sorted(row for row in rows if row and not row[0].startswith("../") and not row[0].startswith("bin/"))
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(
        row for row in kept if row[0].rpartition("/")[2] not in _UNSTABLE or ".dist-info/" not in row[0]
    )
    record.write_text(written.getvalue(), encoding="utf-8")
