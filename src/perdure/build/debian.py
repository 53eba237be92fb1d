"""A base made of Debian's packages: what a Python needs, and nothing that installs, compiles or is a shell.

`apt-get` resolves and fetches, in folders of its own, for any architecture and without rights; it checks signatures.
What packages do when they are installed isn't done; what matters of it (certificates, users, /usr) is made here.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote

from perdure.build import bytecode
from perdure.build.bases import Base, Package
from perdure.build.blobs import Blob, Blobs, encoded
from perdure.build.errors import BuildError
from perdure.build.layers import Files, Layer

_FORMAT: Final = 1
"""Of what is made here; another number makes the cache's layers anew."""
_ROOTS: Final = ("base-files", "netbase", "media-types", "ca-certificates", "tzdata", "libstdc++6")
_FOR_INSTALLING: Final = frozenset(
    (
        *("awk", "mawk", "cdebconf", "debconf", "debconf-2.0", "dpkg", "install-info", "mailcap", "mime-support"),
        *("openssl", "perl", "perl-base", "tar"),
    )
)
_LEFT_OUT: Final = re.compile(
    r"usr/share/(?:man|locale|info|lintian|bug|doc-base|perl5|applications|pixmaps|debconf|base-files|common-licenses/GPL$)(?:/|$)"
    r"|usr/share/doc/[^/]+/(?!copyright$)|usr/sbin/|sbin/|etc/(?:update-motd\.d|motd)|usr/share/ca-certificates/.*\.gz"
    r"|usr/lib/python3\.\d+/(?:ensurepip|idlelib|lib2to3|turtledemo|test)(?:/|$)|usr/lib/[^/]+/(?:audit|gconv)/"
    r"|usr/bin/(?:ldd|catchsegv|localedef|iconv|getent|pldd|tzselect|zdump|getconf|locale|update-.*|x86_64|py.*versions)$"
)
_MERGED: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_USERS: Final = "root:x:0:0:root:/root:/sbin/nologin\nperdure:x:65532:65532:perdure:/data:/sbin/nologin\n"
_GROUPS: Final = "root:x:0:\nperdure:x:65532:\n"
_CERTIFICATES: Final = "etc/ssl/certs/ca-certificates.crt"
_HINT: Final = "say --base with an image layout, an archive or a registry's image that has a Python"


class Apt:
    """An apt of its own: its lists and files are in a folder of the cache.

    Args:
        folder: Which.
        architecture: As Debian calls it.
        renew: Whether the lists are fetched though there are some.

    Raises:
        BuildError: There is no apt-get, or no list can be had.
    """

    def __init__(self, folder: Path, architecture: str, *, renew: bool = False) -> None:
        if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
            raise BuildError("--base debian needs apt-get and dpkg-deb, not found here", hint=_HINT)
        self.folder = folder / architecture
        for name in ("lists/partial", "archives/partial", "debs", "none"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        self._options = [
            *("-o", f"Dir::State={self.folder}", "-o", f"Dir::State::status={self.folder / 'status'}"),
            *("-o", f"Dir::State::lists={self.folder / 'lists'}", "-o", f"Dir::Cache={self.folder}"),
            *("-o", f"APT::Architecture={architecture}", "-o", f"APT::Architectures={architecture}"),
            *("-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none"),
        ]
        done = self.folder / "updated"
        if renew or not done.exists():
            self._call("apt-get", "update", "-qq", "--error-on=any")
            done.touch()

    def _call(self, tool: str, *arguments: str, folder: str = "none") -> str:
        command = [tool, *self._options, *arguments]
        done = subprocess.run(  # noqa: S603 - a tool of the system, with arguments of ours
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder / folder,
            env={**os.environ, "LC_ALL": "C"},
        )
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith("E:")] or [done.stderr.strip()]
            what = lines[0].removeprefix("E: ")
            raise BuildError(f"Debian's packages can't be had: {what}", hint=f"--pull renews the lists; or {_HINT}")
        return done.stdout

    def python(self) -> str:
        """Return the version of Debian's own Python, as `3.11`."""
        found = re.search(r"Depends: python(3\.\d+)$", self._call("apt-cache", "depends", "python3"), re.MULTILINE)
        if not found:
            raise BuildError("Debian's lists have no python3", hint=_HINT)
        return found[1]

    def needed(self, roots: Iterable[str]) -> list[str]:
        """Return packages and all that they need when they run."""
        switches = [
            f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
        ]
        told = self._call("apt-cache", "depends", "--recurse", *switches, *roots)
        needs: dict[str, list[str]] = {}
        package, alternative = "", False
        for line in told.splitlines():
            if match := re.fullmatch(r" ([ |])(?:Pre)?Depends: <?([^<>\s]+)>?", line):
                if not alternative and match[2] not in _FOR_INSTALLING:
                    needs[package].append(match[2])
                alternative = match[1] == "|"  # the next line is the other choice
            elif re.match(r"\S", line):
                package, alternative = line.strip("<>"), False
                needs.setdefault(package, [])
        found: set[str] = set()
        waiting = list(roots)
        while waiting:
            if (name := waiting.pop()) not in found:
                found.add(name)
                waiting += needs.get(name, [])
        return sorted(found)

    def listed(self, names: Iterable[str]) -> list[tuple[str, str, str]]:
        """Return packages as apt-get takes them, with their file and its SHA-256, without fetching them."""
        # Of a file that is in the folder already it says nothing, so it is asked in an empty one.
        told = self._call("apt-get", "download", "--print-uris", *names, folder="none")
        found = re.findall(r"^'[^']+' (([^_\s]+)_([^_\s]+)_\S+\.deb) \d+ SHA256:([0-9a-f]{64})$", told, re.MULTILINE)
        return sorted((f"{name}={unquote(version)}", file, digest) for file, name, version, digest in found)

    def fetch(self, packages: Sequence[Sequence[str]]) -> list[Path]:
        """Fetch packages; those that are here already aren't fetched again.

        Raises:
            BuildError: There is no such version any more, or it was damaged on its way.
        """
        self._call("apt-get", "download", "-qq", *(name for name, _, _ in packages), folder="debs")
        debs = [self.folder / "debs" / file for _, file, _ in packages]
        for path, (_, _, digest) in zip(debs, packages, strict=True):
            if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                path.unlink()
                raise BuildError(f"{path.name} was damaged on its way", hint="try again")
        return debs


def make(platform: str, blobs: Blobs, cache: Path, moment: int, *, renew: bool = False) -> Base:
    """Make the base, or take it from the cache.

    Args:
        platform: As `linux/amd64`.
        blobs: Where its layers go.
        cache: A folder that stays.
        moment: The time of all entries.
        renew: Whether to look for newer packages.

    Raises:
        BuildError: The packages can't be had here.
    """
    architecture = platform.partition("/")[2]
    kept = Blobs(cache)
    with _alone(cache):
        noted, version = _noted(cache, kept, architecture, moment, renew=renew)
    found = json.loads(noted.read_bytes())
    layers = [Layer(Blob(*each["blob"]), each["diff_id"], each["history"]) for each in found["layers"]]
    for layer in layers:
        blobs.take(kept, layer.blob.digest)
    packages = tuple(Package(*each) for each in found["packages"])
    variables = ["PATH=/usr/local/bin:/usr/bin:/bin", f"SSL_CERT_FILE=/{_CERTIFICATES}"]
    config = {"architecture": architecture, "os": "linux", "config": {"Env": variables}}
    return Base("debian", "", tuple(layers), config, f"/usr/bin/python{version}", version, found["libc"], (), packages)


def _noted(cache: Path, kept: Blobs, architecture: str, moment: int, *, renew: bool) -> tuple[Path, str]:
    """Return where the layers of the base are noted, made if need be, and the version of its Python."""
    resolved = cache / "debian" / architecture / "resolved.json"
    if renew or not resolved.is_file():
        _resolve(resolved, architecture)
    version, files = json.loads(resolved.read_bytes())
    inputs = [_FORMAT, moment, _compiler(version), files]
    noted = cache / f"debian-{hashlib.sha256(encoded(inputs)).hexdigest()[:32]}.json"
    if not noted.is_file() or any(layer["digest"] not in kept for layer in json.loads(noted.read_bytes())["layers"]):
        debs = Apt(cache / "debian", architecture).fetch(files)
        _write(debs, kept, noted, version, moment)
    return noted, version


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Keep other builds on this cache waiting: what one makes the next finds."""
    import fcntl

    with (cache / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _resolve(place: Path, architecture: str) -> None:
    """Note which Python and which packages there are now; they stay until a newer base is asked for."""
    apt = Apt(place.parents[1], architecture, renew=True)
    version = apt.python()
    names = apt.needed([f"python{version}-minimal", f"libpython{version}-stdlib", *_ROOTS])
    new = place.with_suffix(".new")
    new.write_bytes(encoded([version, apt.listed(names)]))
    new.replace(place)


def _compiler(version: str) -> str | None:
    return sys.version if bytecode.can_compile(version) else None


def _write(debs: list[Path], blobs: Blobs, noted: Path, version: str, moment: int) -> None:
    system, python = Files(), Files()
    _skeleton(system)
    certificates: list[bytes] = []
    packages: list[Package] = []
    libc = ""
    for deb in debs:
        fields = _fields(deb)
        name, its = fields["Package"], fields["Version"]
        if name == "libc6":
            libc = f"manylinux_2_{its.split('.')[1].partition('-')[0]}"
        purl = f"pkg:deb/debian/{name}@{its}?arch={fields['Architecture']}".replace("+", "%2B")
        packages.append(Package(name, its, purl))
        files = python if "python3" in name else system
        for path, member, data in _members(deb):
            if path.endswith(".crt") and "ca-certificates/" in path:
                certificates.append(data)
            elif not _LEFT_OUT.match(path):
                _add(files, path, member, data)
        # Where scanners look for the packages of an image without a package manager.
        files.add_file(f"var/lib/dpkg/status.d/{name}", "".join(f"{k}: {v}\n" for k, v in fields.items()).encode())
    system.add_file(_CERTIFICATES, b"".join(_ended(each) for each in certificates))
    python.add_link("usr/bin/python3", f"python{version}")
    if bytecode.can_compile(version):
        bytecode.add_compiled(python, f"usr/lib/python{version}")
    made = [
        system.write(blobs, "Debian packages that a Python needs", moment),
        python.write(blobs, f"Debian's Python {version}", moment),
    ]
    layers = [
        {"blob": list(each.blob), "digest": each.blob.digest, "diff_id": each.diff_id, "history": each.history}
        for each in made
    ]
    new = noted.with_suffix(".new")
    new.write_bytes(encoded({"layers": layers, "packages": packages, "libc": libc}))
    new.replace(noted)


def _skeleton(files: Files) -> None:
    for name in ("bin", "sbin", "lib", "lib64"):
        files.add_link(name, f"usr/{name}")
        files.add_folder(f"usr/{name}")
    files.add_folder("tmp", 0o1777)
    for name in ("proc", "sys", "dev", "run", "root"):
        files.add_folder(name)
    files.add_file("etc/passwd", _USERS.encode())
    files.add_file("etc/group", _GROUPS.encode())
    files.add_file("etc/nsswitch.conf", b"passwd: files\ngroup: files\nhosts: files dns\nservices: files\n")


def _fields(deb: Path) -> dict[str, str]:
    wanted = ("Package", "Version", "Architecture", "Maintainer", "Source")
    told = subprocess.run(["dpkg-deb", "-f", deb, *wanted], capture_output=True, text=True, check=True).stdout  # noqa: S603, S607
    return dict(line.split(": ", 1) for line in told.splitlines())


def _members(deb: Path) -> Iterator[tuple[str, tarfile.TarInfo, bytes]]:
    """Yield what is in a package, as it lies in a system with a merged /usr."""
    told = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], capture_output=True, check=True).stdout  # noqa: S603, S607
    with tarfile.open(fileobj=io.BytesIO(told)) as tar:
        for member in tar:
            path = str(PurePosixPath(member.name.removeprefix("./")))
            content = tar.extractfile(member) if member.isreg() or member.islnk() else None
            yield _merged(path), member, content.read() if content else b""


def _merged(path: str) -> str:
    return f"usr/{path}" if path.split("/", maxsplit=1)[0] in _MERGED and "/" in path else path


def _add(files: Files, path: str, member: tarfile.TarInfo, data: bytes) -> None:
    if member.issym():
        files.add_link(path, member.linkname)
    elif member.isreg() or member.islnk():
        files.add_file(path, data, 0o755 if member.mode & 0o111 else 0o644)
    elif path not in {".", *_MERGED, "tmp"} and path not in files:
        files.add_folder(path)


def _ended(certificate: bytes) -> bytes:
    return certificate.rstrip(b"\n") + b"\n"
