"""Layers: files by path, written as the same bytes whenever they are the same files.

1. Entries are sorted, every folder has an entry before what is in it.
2. Times, owners and the compression's header don't say when, where or by whom a layer was made.
3. A later entry at a path takes the place of an earlier one; a link is never followed.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final, NamedTuple, cast

from perdure.build.blobs import CHUNK, LAYER, Blob, Blobs, encoded

_LEVEL: Final = 6


class Entry(NamedTuple):
    """A file, a folder or a link.

    Attributes:
        type: Of tarfile.
        mode: Its rights.
        source: Its content, or where it is.
        target: Of a link.
        owner: The number of its user and its group.
    """

    type: bytes
    mode: int
    source: bytes | Path = b""
    target: str = ""
    owner: int = 0


class Layer(NamedTuple):
    """A layer that was written.

    Attributes:
        blob: What it is stored as.
        diff_id: The digest of it uncompressed.
        history: What made it.
    """

    blob: Blob
    diff_id: str
    history: str


class Files:
    """The files of a layer that is being made, by path from the root, without a leading slash."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, path: str) -> bool:
        return path in self._entries

    def add_file(self, path: str, source: bytes | Path, mode: int = 0o644) -> None:
        """Add a file."""
        self._entries[path] = Entry(tarfile.REGTYPE, mode, source)

    def add_folder(self, path: str, mode: int = 0o755, owner: int = 0) -> None:
        """Add a folder."""
        self._entries[path] = Entry(tarfile.DIRTYPE, mode, owner=owner)

    def add_link(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        self._entries[path] = Entry(tarfile.SYMTYPE, 0o777, target=target)

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Yield what is in the files."""
        for path, entry in list(self._entries.items()):
            if entry.type == tarfile.REGTYPE:
                yield path, _read(entry)

    def remove(self, path: str) -> None:
        """Take away what layers below have at a path; with a slash at its end, what is in a folder."""
        if path.endswith("/"):
            self.add_file(f"{path}.wh..wh..opq", b"", 0)
            return
        at = PurePosixPath(path)
        self.add_file(str(at.with_name(f".wh.{at.name}")), b"", 0)

    def digests(self) -> list[tuple[str, int, str, str]]:
        """Return what is at each path: its rights, its target, the digest of its content."""
        return [
            (path, entry.mode, entry.target, hashlib.sha256(_read(entry)).hexdigest())
            for path, entry in sorted(self._entries.items())
        ]

    def add_tree(self, folder: Path, at: str, wanted: Callable[[str], bool] = lambda _: True) -> None:
        """Add what is in a folder of this machine.

        Args:
            folder: The folder.
            at: Where its content goes.
            wanted: Says of a path below the folder whether it, and what is in it, is taken.
        """
        for path in sorted(folder.iterdir()):
            self._add(path, path.name, at, wanted)

    def _add(self, path: Path, name: str, at: str, wanted: Callable[[str], bool]) -> None:
        if not wanted(name):
            return
        place = f"{at}/{name}" if at else name
        if path.is_symlink():
            self.add_link(place, str(path.readlink()))
        elif path.is_dir():
            self.add_folder(place)
            for below in sorted(path.iterdir()):
                self._add(below, f"{name}/{below.name}", at, wanted)
        elif path.is_file():
            self.add_file(place, path, 0o755 if path.stat().st_mode & 0o111 else 0o644)

    def write(self, blobs: Blobs, history: str, moment: int) -> Layer:
        """Write the layer.

        Args:
            blobs: Where.
            history: What made it.
            moment: The time of all entries, in seconds since 1970.
        """
        for path in list(self._entries):
            for parent in list(PurePosixPath(path).parents)[:-1]:
                self._entries.setdefault(str(parent), Entry(tarfile.DIRTYPE, 0o755))
        with blobs.writing() as file:
            packed = _Hashing(file)
            with gzip.GzipFile("", "wb", _LEVEL, cast("BinaryIO", packed), 0) as zipped:
                plain = _Hashing(cast("BinaryIO", zipped))
                with tarfile.open(None, "w|", cast("BinaryIO", plain), CHUNK, format=tarfile.PAX_FORMAT) as tar:
                    for path, entry in sorted(self._entries.items(), key=_order):
                        _write_entry(tar, path, entry, moment)
            blobs.keep(file, packed.digest)
        return Layer(Blob(LAYER, packed.digest, packed.size), plain.digest, history)


def _order(item: tuple[str, Entry]) -> tuple[str, ...]:
    return PurePosixPath(item[0]).parts


def _write_entry(tar: tarfile.TarFile, path: str, entry: Entry, moment: int) -> None:
    info = tarfile.TarInfo(path)
    info.type, info.mode, info.linkname = entry.type, entry.mode, entry.target
    info.mtime, info.uid, info.gid = moment, entry.owner, entry.owner
    if entry.type != tarfile.REGTYPE:
        tar.addfile(info)
        return
    data = _read(entry)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def _read(entry: Entry) -> bytes:
    return entry.source if isinstance(entry.source, bytes) else entry.source.read_bytes()


def reused(cache: Path, blobs: Blobs, inputs: Sequence[Any], make: Callable[[Blobs], Layer]) -> Layer:
    """Return the layer that a cache has of the same inputs, or make it.

    Args:
        cache: A folder that stays.
        blobs: Where the layer goes.
        inputs: All that decides what is in it, as JSON has it.
        make: Writes it to the cache.
    """
    kept = Blobs(cache)
    noted = cache / f"layer-{hashlib.sha256(encoded(inputs)).hexdigest()[:32]}.json"
    layer: Layer | None = None
    if noted.is_file():
        blob, *more = json.loads(noted.read_bytes())
        layer = Layer(Blob(*blob), *more)
    if layer is None or layer.blob.digest not in kept:
        layer = make(kept)
        new = noted.with_suffix(".new")
        new.write_bytes(encoded(layer))
        new.replace(noted)
    blobs.take(kept, layer.blob.digest)
    return layer


class _Hashing:
    """Passes on what is written, and remembers its digest."""

    def __init__(self, below: BinaryIO) -> None:
        self._below = below
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        return self._below.write(data)

    def flush(self) -> None:
        self._below.flush()
