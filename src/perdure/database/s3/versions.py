"""Old versions of objects, in a bucket that keeps such: found, and deleted for objects that were deleted themselves.

The client of buckets knows nothing of versions; Amazon's own does (`perdure[s3-versions]`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from obstore.store import S3Store

from perdure.errors import StorageError, UsageError

_TIMEOUT: Final = 30.0
_UNKNOWN: Final = ("404", "405", "501", "MethodNotAllowed", "NotImplemented")


class Version(NamedTuple):
    """A version of an object, or the mark of its deletion."""

    key: str
    version_id: str
    is_latest: bool
    is_mark: bool


class Bucket:
    """A bucket, asked about its versions.

    Args:
        store: Its client.

    Raises:
        UsageError: `boto3` isn't installed.
    """

    def __init__(self, store: S3Store) -> None:
        try:
            from boto3.session import Session
            from botocore.config import Config
        except ImportError as missing:
            raise UsageError(
                "old versions can't be asked for: boto3 isn't installed", hint="pip install 'perdure[s3-versions]'"
            ) from missing
        config: Mapping[str, Any] = store.config
        endpoint = config.get("endpoint")
        hosted = str(config.get("virtual_hosted_style_request", "")).lower() == "true"
        self._prefix = f"{store.prefix}/" if store.prefix else ""
        self._bucket = str(config["bucket"])
        self._client: Any = Session().client(
            "s3",
            endpoint_url=endpoint,
            region_name=config.get("region") or "us-east-1",
            config=Config(
                connect_timeout=_TIMEOUT,
                read_timeout=_TIMEOUT,
                s3={"addressing_style": "virtual" if hosted else "path" if endpoint else "auto"},
            ),
        )

    def delete_old(self) -> int:
        """Delete all versions of objects that were deleted; tell how many. What is there keeps its old versions.

        Raises:
            StorageError: The store can't list versions, or the key may not delete them.
        """
        by_key: dict[str, list[Version]] = defaultdict(list)
        for version in self.versions():
            by_key[version.key].append(version)
        gone = [versions for versions in by_key.values() if any(one.is_latest and one.is_mark for one in versions)]
        for versions in gone:
            for one in sorted(versions, key=lambda one: one.is_mark):  # the marks last: who stops in between goes on
                with _asking("deleted"):
                    self._client.delete_object(Bucket=self._bucket, Key=one.key, VersionId=one.version_id)
        return sum(map(len, gone))

    def read_old(self) -> Iterator[tuple[str, bytes]]:
        """Read the versions that aren't the latest: name and bytes.

        Raises:
            StorageError: The store can't list versions, or the key may not read them.
        """
        for one in self.versions():
            if not one.is_latest and not one.is_mark:
                with _asking("read"):
                    found = self._client.get_object(Bucket=self._bucket, Key=one.key, VersionId=one.version_id)
                    data: bytes = found["Body"].read()
                yield f"{one.key}, version {one.version_id}", data

    def versions(self) -> list[Version]:
        """List all versions; none if the store doesn't know what that is."""
        found: list[Version] = []
        with _asking("listed"):
            pages = self._client.get_paginator("list_object_versions")
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix):
                for kind in ("Versions", "DeleteMarkers"):
                    found += [
                        Version(one["Key"], one["VersionId"], one["IsLatest"], kind == "DeleteMarkers")
                        for one in page.get(kind, ())
                    ]
        return found


@contextmanager
def _asking(what: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        if what == "listed" and error.response["Error"]["Code"] in _UNKNOWN:
            return
        raise StorageError(f"old versions can't be {what}: {error}") from error
    except BotoCoreError as error:
        raise StorageError(f"old versions can't be {what}: {error}") from error
