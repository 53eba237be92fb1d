"""Registries, by the protocol of the OCI distribution specification, through `oras`, with Docker's login."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from perdure.build.bases import Base, from_layout, is_for
from perdure.build.blobs import CONFIG, INDEX, MANIFEST, Blob, Blobs
from perdure.build.errors import BuildError
from perdure.build.image import Image
from perdure.build.layouts import Tag, read_tag, write_entries

_ACCEPTED: Final = (
    MANIFEST,
    INDEX,
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_FOUND: Final = frozenset((200, 201, 202))
_PATIENCE: Final = 20.0
"""Seconds to wait for the first answer of a registry."""
_LOCAL: Final = ("localhost", "127.0.0.1", "[::1]")


def addressed(name: str) -> str:
    """Return a name with the registry that Docker means if there is none in it."""
    first, slash, rest = name.partition("/")
    if not slash or not (set(".:") & set(first) or first == "localhost"):
        first, rest = "docker.io", name if slash else f"library/{name}"
    return f"{'registry-1.docker.io' if first == 'docker.io' else first}/{rest}"


class Registry:
    """A repository of a registry.

    Args:
        tag: An image there.

    Raises:
        BuildError: oras isn't installed.
    """

    def __init__(self, tag: Tag) -> None:
        try:
            from oras.container import Container
            from oras.provider import Registry as Client
        except ModuleNotFoundError as missing:
            raise BuildError(
                "registries need oras, not installed here", hint="pip install 'perdure[build]'"
            ) from missing
        self.tag = tag
        self.container: Any = Container(str(tag._replace(name=addressed(tag.name))))
        # As Docker does: a registry of this machine speaks plain HTTP.
        plain = self.container.registry.partition(":")[0] in _LOCAL
        self.client: Any = Client(hostname=self.container.registry, insecure=plain)
        self.client.auth.load_configs(self.container)

    def send(self, layout: Path, images: Sequence[Image], main: Blob) -> None:
        """Send an image: its blobs first, its tag last.

        Raises:
            BuildError: The registry isn't reached, or refuses.
        """
        blobs = Blobs(layout)
        with self._explained("send to"):
            for image in images:
                for blob in {
                    image.config.digest: image.config,
                    **{each.blob.digest: each.blob for each in image.layers},
                }.values():
                    path = str(blobs.path(blob.digest))
                    self._check(self.client.upload_blob(path, self.container, blob.described()), blob.digest)
                if image.manifest != main:
                    self._put(blobs, image.manifest, image.manifest.digest)
            self._put(blobs, main, self.tag.tag)

    def _put(self, blobs: Blobs, blob: Blob, name: str) -> None:
        data = blobs.path(blob.digest).read_bytes()
        answer = self.client.do_request(self._manifest(name), "PUT", headers={"Content-Type": blob.kind}, data=data)
        self._check(answer, name)

    def _manifest(self, name: str) -> str:
        api = f"{self.client.prefix}://{self.container.registry}/v2/{self.container.api_prefix}"
        return f"{api}/manifests/{name}"

    def fetch(self, platform: str, blobs: Blobs, cache: Path) -> Base:
        """Fetch a base; layers that the cache has aren't fetched again.

        Raises:
            BuildError: The registry isn't reached, or has no such image.
        """
        kept = Blobs(cache)
        with self._explained("fetch"), tempfile.TemporaryDirectory() as name:
            found = self._get(self.tag.tag, kept)
            manifest = kept.get_json(found.digest)
            if "manifests" in manifest:
                wanted = [each for each in manifest["manifests"] if is_for(each, platform)]
                if not wanted:
                    raise BuildError(f"{self.tag} isn't there for {platform}", hint="another --platform or --base")
                found = self._get(wanted[0]["digest"], kept)
                manifest = kept.get_json(found.digest)
            for each in (manifest["config"], *manifest["layers"]):
                self._fetch(each["digest"], kept)
            write_entries(Path(name), [found.described()])
            local = Blobs(Path(name))
            for digest in (found.digest, *(each["digest"] for each in (manifest["config"], *manifest["layers"]))):
                local.path(digest).symlink_to(kept.path(digest).resolve())
            return from_layout(Path(name), str(self.tag), platform, blobs)

    def _get(self, name: str, blobs: Blobs) -> Blob:
        answer = self.client.do_request(self._manifest(name), "GET", headers={"Accept": ", ".join(_ACCEPTED)})
        self._check(answer, name)
        return blobs.put(answer.content, answer.headers.get("Content-Type", MANIFEST).partition(";")[0])

    def _fetch(self, digest: str, blobs: Blobs) -> None:
        if digest in blobs:
            return
        with tempfile.TemporaryDirectory(dir=blobs.path(digest).parent, prefix=".new-") as name:
            made = self.client.download_blob(self.container, digest, str(Path(name) / "blob"))
            stored = blobs.put(Path(made).read_bytes(), CONFIG)
        if stored.digest != digest:
            blobs.path(stored.digest).unlink(missing_ok=True)
            raise BuildError(f"{self.tag}: {digest} was damaged on its way", hint="try again")

    def _check(self, answer: Any, what: str) -> None:
        if answer.status_code in _FOUND:
            return
        hint = "log in: `docker login` or `podman login`" if answer.status_code in {401, 403} else None
        hint = "check the name" if answer.status_code == 404 else hint
        raise BuildError(f"{self.tag}: the registry answers {answer.status_code} {answer.reason} to {what}", hint=hint)

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        import requests
        from oras.auth import AuthenticationException

        try:
            # oras tries again for two minutes what nobody answers; a wrong name should be told at once.
            self.client.session.get(f"{self.client.prefix}://{self.container.registry}/v2/", timeout=_PATIENCE)
            yield
        except AuthenticationException as e:
            hint = "log in: `docker login` or `podman login`"
            raise BuildError(f"can't {what} {self.tag}: {e}", hint=hint) from e
        except requests.RequestException as e:
            hint = "is the name right, and the network there? --base debian and local layouts need no registry"
            raise BuildError(f"can't {what} {self.tag}: {type(e).__name__}: {e}", hint=hint) from e
        except ValueError as e:  # what oras raises for answers that it doesn't expect
            raise BuildError(f"can't {what} {self.tag}: {e}") from e


def open_base(name: str, platform: str, blobs: Blobs, cache: Path) -> Base:
    """Fetch the base `NAME:TAG` or `NAME@sha256:...`; see `Registry.fetch`."""
    known, _, digest = name.partition("@")
    tag = read_tag(known)
    return Registry(tag._replace(tag=digest) if digest else tag).fetch(platform, blobs, cache)
