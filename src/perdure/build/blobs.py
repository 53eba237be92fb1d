"""Files named by the SHA-256 of what is in them, as an image layout has them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from perdure.build.errors import BuildError

CHUNK: Final = 1 << 20

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"


class Blob(NamedTuple):
    """What a manifest says of a blob.

    Attributes:
        kind: Its media type.
        digest: `sha256:` and 64 digits.
        size: Bytes.
    """

    kind: str
    digest: str
    size: int

    def described(self, **more: Any) -> dict[str, Any]:
        """Return the descriptor of the OCI image specification."""
        return {"mediaType": self.kind, "digest": self.digest, "size": self.size, **more}


class Blobs:
    """A folder of blobs.

    Args:
        folder: The layout's; blobs are in `blobs/sha256` below it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "blobs" / "sha256"
        self._folder.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Return where a blob is, or would be."""
        return self._folder / digest.removeprefix("sha256:")

    def __contains__(self, digest: str) -> bool:
        return self.path(digest).is_file()

    @contextmanager
    def writing(self) -> Iterator[BinaryIO]:
        """Open a file that `keep` makes a blob; it is gone if it wasn't."""
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".new-", delete=False) as file:
            try:
                yield file  # type: ignore[misc]  # a wrapper that has the same methods
            finally:
                with suppress(FileNotFoundError):
                    Path(file.name).unlink()

    def keep(self, file: BinaryIO, digest: str) -> None:
        """Make what was written a blob."""
        file.flush()
        Path(file.name).chmod(0o644)
        Path(file.name).replace(self.path(digest))

    def put(self, data: bytes, kind: str) -> Blob:
        """Store bytes."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        with self.writing() as file:
            file.write(data)
            self.keep(file, digest)
        return Blob(kind, digest, len(data))

    def put_json(self, value: Any, kind: str) -> Blob:
        """Store a value as JSON; the same value is the same bytes."""
        return self.put(encoded(value), kind)

    def get_json(self, digest: str) -> Any:
        """Read a value back."""
        return json.loads(self.path(digest).read_bytes())

    def take(self, other: Blobs, digest: str) -> None:
        """Have a blob that another folder has; checks that it is what its name says.

        Raises:
            BuildError: It is missing, or damaged.
        """
        if digest in self:
            return
        source = other.path(digest)
        if not source.is_file():
            raise BuildError(f"{source.parents[2]} is incomplete: there is no blob {digest}", hint="make it anew")
        with source.open("rb") as file:
            if f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" != digest:
                raise BuildError(f"{source} is damaged: its content isn't what its name says", hint="make it anew")
        with self.writing() as made, source.open("rb") as file:
            shutil.copyfileobj(file, made, CHUNK)
            self.keep(made, digest)


def encoded(value: Any) -> bytes:
    """Return JSON that is the same bytes for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def replaced(new: Path, place: Path) -> None:
    """Put a finished file or folder in its place, in one step for a file."""
    if not place.is_dir():
        new.replace(place)
        return
    old = Path(tempfile.mkdtemp(dir=place.parent, prefix=".old-"))
    place.rename(old / "it")
    try:
        os.rename(new, place)  # noqa: PTH104 - a folder
    except OSError:
        (old / "it").rename(place)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
