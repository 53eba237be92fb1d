"""One archive that has all that an installation needs, for places without a network.

A tar archive whose first members are `SHA256SUMS`, as sha256sum(1) writes it, and its signature. All others are listed
there, so that a signature of a few kilobytes is one of everything. Nothing that isn't listed is ever unpacked.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from perdure.build import signing
from perdure.build.blobs import CHUNK, replaced
from perdure.build.errors import BuildError, explained

SUMS: Final = "SHA256SUMS"
SIGNATURE: Final = "SHA256SUMS.sig"
ABOUT: Final = "bundle.json"
FORMAT: Final = 1
_LARGEST: Final = 16 << 20
"""Bytes of a list of sums."""
_LINE: Final = re.compile(r"([0-9a-f]{64})  (.+)")


def write(folder: Path, place: Path, key: Path | None, moment: int) -> str:
    """Write a folder's files as a bundle; the same files, key and time give the same bytes. Return its SHA-256.

    Args:
        folder: The files, with a `bundle.json`.
        place: The archive. What was there is replaced when all is written.
        key: The private key's file; None: it isn't signed.
        moment: The time of everything in it, in seconds since 1970.

    Raises:
        BuildError: The key can't be used, or the place not be written.
    """
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    sums = "".join(f"{_sum_of(folder / name)}  {name}\n" for name in files).encode()
    first = [(SUMS, sums)] + ([(SIGNATURE, signing.sign(sums, key))] if key is not None else [])
    with explained(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".perdure-") as name:
            new = Path(name) / "new"
            with tarfile.open(new, "w", format=tarfile.PAX_FORMAT) as tar:
                for member, data in first:
                    tar.addfile(_member(member, len(data), moment), io.BytesIO(data))
                for member in files:
                    with (folder / member).open("rb") as file:
                        tar.addfile(_member(member, (folder / member).stat().st_size, moment), file)
            digest = _sum_of(new)
            replaced(new, place)
    return digest


def _member(name: str, size: int, moment: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, moment, 0o644
    return info


def _sum_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(archive: Path, key: Path | None) -> dict[str, Any]:
    """Check a bundle: its signature, and every file. Return what it says about itself.

    Args:
        archive: The bundle.
        key: The public key's file; None: only the sums are checked, which anybody can make.

    Raises:
        BuildError: It isn't whole, isn't signed by that key, or has something in it that isn't listed.
    """
    about = b""

    def look(name: str, read: Iterator[bytes]) -> None:
        nonlocal about
        for data in read:
            if name == ABOUT and len(about) < CHUNK:
                about += data

    _walk(archive, key, look)
    try:
        told: dict[str, Any] = json.loads(about)
        is_known = told["format"] == FORMAT
    except (ValueError, TypeError, LookupError) as e:
        raise BuildError(f"{archive} is no bundle: its {ABOUT} is missing, or says nothing", hint=_HINT) from e
    if not is_known:
        raise BuildError(f"{archive} is of format {told.get('format')!r}, not {FORMAT}", hint="use the perdure in it")
    return told


def unpack(archive: Path, key: Path | None, folder: Path) -> dict[str, Any]:
    """Check a bundle, then unpack it. Return what it says about itself.

    Args:
        archive: The bundle.
        key: See `verify`.
        folder: A new folder; it is there when all is there and right, or not at all.

    Raises:
        BuildError: See `verify`; or there is something in that place.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BuildError(f"{folder} is there already, and isn't empty", hint="each version has a folder of its own")
    told = verify(archive, key)
    with explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".perdure-") as name:
            new = Path(name) / "new"

            def write_file(member: str, read: Iterator[bytes]) -> None:
                path = new / member
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as file:
                    file.writelines(read)

            _walk(archive, key, write_file)  # checked again: it may have been changed in between
            if folder.exists():
                folder.rmdir()
            new.rename(folder)
    return told


def _walk(archive: Path, key: Path | None, take: Callable[[str, Iterator[bytes]], None]) -> None:
    """Read a bundle from its beginning to its end, and check it on the way."""
    with _opened(archive) as tar:
        sums, first = _begin(tar, archive, key)
        missing = dict(sums)
        member: tarfile.TarInfo | None = first
        while member is not None:
            name = member.name
            if name not in missing or not member.isreg():
                raise BuildError(f"{archive}: {name!r} isn't listed in its {SUMS}, or is there twice", hint=_HINT)
            source = tar.extractfile(member)
            assert source is not None
            digest = hashlib.sha256()
            take(name, _pieces(source, digest))
            if digest.hexdigest() != missing.pop(name):
                raise BuildError(f"{archive}: {name} isn't what its {SUMS} says", hint=_HINT)
            member = tar.next()
        if missing:
            raise BuildError(f"{archive} lacks {min(missing)}, and {len(missing) - 1} more files", hint=_HINT)


_HINT: Final = "it was damaged or changed on its way: fetch it again"


@contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(archive, "r:") as tar:
            yield tar
    except OSError as e:
        raise BuildError(f"can't read {archive}: {e.strerror or e}") from e
    except (tarfile.TarError, EOFError) as e:
        raise BuildError(f"{archive} is no bundle, or isn't whole: {e}", hint=_HINT) from e


def _begin(tar: tarfile.TarFile, archive: Path, key: Path | None) -> tuple[dict[str, str], tarfile.TarInfo | None]:
    """Read the sums and check their signature; return them, and the member after."""
    listed = tar.next()
    if listed is None or listed.name != SUMS or not listed.isreg() or listed.size > _LARGEST:
        raise BuildError(
            f"{archive} is no bundle: it doesn't begin with {SUMS}", hint="`perdure bundle create` makes one"
        )
    source = tar.extractfile(listed)
    assert source is not None
    sums = source.read()
    member = tar.next()
    signature = b""
    if member is not None and member.name == SIGNATURE and member.isreg() and member.size == 64:
        found = tar.extractfile(member)
        assert found is not None
        signature = found.read()
        member = tar.next()
    if key is not None and not signature:
        raise BuildError(f"{archive} isn't signed", hint="--unsigned checks the sums only, which anybody can make")
    if key is not None and not signing.is_signed(sums, signature, key):
        raise BuildError(f"{archive} isn't signed by the owner of {key}", hint="don't use it")
    return _read_sums(sums, archive), member


def _read_sums(sums: bytes, archive: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in sums.decode(errors="replace").splitlines():
        match = _LINE.fullmatch(line)
        path = PurePosixPath(match[2]) if match else None
        if match is None or path is None or path.is_absolute() or ".." in path.parts or str(path) != match[2]:
            raise BuildError(f"{archive}: {line!r} is no line of {SUMS}", hint=_HINT)
        found[match[2]] = match[1]
    return found


def _pieces(source: IO[bytes], digest: Any) -> Iterator[bytes]:
    while data := source.read(CHUNK):
        digest.update(data)
        yield data


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder's files, without what Python makes beside them."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
