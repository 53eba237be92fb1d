"""Old versions of objects, in a bucket that keeps such: found, and deleted for objects that were deleted themselves.

The client of buckets knows nothing of versions, so requests are made and signed here: AWS Signature Version 4, see
https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html. It takes credentials of the environment.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit
from xml.etree import ElementTree as ET

from obstore.store import S3Store

from perdure.errors import StorageError, UsageError

_TIMEOUT: Final = 30.0
_OK: Final = (200, 204)
_UNKNOWN: Final = (404, 405, 501)


class Version(NamedTuple):
    """A version of an object, or the mark of its deletion."""

    key: str
    version_id: str
    is_latest: bool
    is_mark: bool


class Bucket:
    """A bucket, asked directly.

    Args:
        store: Its client.

    Raises:
        UsageError: The environment has no credentials.
    """

    def __init__(self, store: S3Store) -> None:
        config: Mapping[str, Any] = store.config
        self._prefix = f"{store.prefix}/" if store.prefix else ""
        self._region = str(config.get("region") or os.environ.get("AWS_REGION") or "us-east-1")
        self._key, self._secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
        if not self._key or not self._secret:
            raise UsageError("old versions can't be asked for: AWS_ACCESS_KEY_ID isn't set")
        bucket = str(config["bucket"])
        endpoint = urlsplit(str(config.get("endpoint") or f"https://s3.{self._region}.amazonaws.com"))
        hosted = str(config.get("virtual_hosted_style_request", "")).lower() == "true"
        self._is_secure = endpoint.scheme == "https"
        self._host = f"{bucket}.{endpoint.netloc}" if hosted and not config.get("endpoint") else endpoint.netloc
        self._path = endpoint.path.rstrip("/") + ("/" if hosted else f"/{bucket}/")

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
                self._ask("DELETE", one.key, {"versionId": one.version_id})
        return sum(map(len, gone))

    def read_old(self) -> Iterator[tuple[str, bytes]]:
        """Read the versions that aren't the latest: name and bytes.

        Raises:
            StorageError: The store can't list versions, or the key may not read them.
        """
        for one in self.versions():
            if not one.is_latest and not one.is_mark:
                yield f"{one.key}, version {one.version_id}", self._ask("GET", one.key, {"versionId": one.version_id})

    def versions(self) -> Iterator[Version]:
        """List all versions; none if the store doesn't know what that is."""
        asked = {"versions": "", "prefix": self._prefix}
        while True:
            answer = self._ask("GET", "", asked, ignoring=_UNKNOWN)
            if not answer:
                return
            found = ET.fromstring(answer)  # noqa: S314 - of a store that is trusted with all threads
            for one in found:
                kind = one.tag.rpartition("}")[2]
                if kind in ("Version", "DeleteMarker"):
                    text = {part.tag.rpartition("}")[2]: part.text or "" for part in one}
                    yield Version(text["Key"], text["VersionId"], text["IsLatest"] == "true", kind == "DeleteMarker")
            text = {part.tag.rpartition("}")[2]: part.text or "" for part in found}
            if text.get("IsTruncated") != "true":
                return
            asked |= {"key-marker": text["NextKeyMarker"], "version-id-marker": text["NextVersionIdMarker"]}

    def _ask(
        self, method: str, key: str, query: Mapping[str, str], *, body: bytes = b"", ignoring: tuple[int, ...] = ()
    ) -> bytes:
        path = self._path + quote(key, safe="/~")
        asked = urlencode(sorted(query.items()), quote_via=quote, safe="~")
        connection = (HTTPSConnection if self._is_secure else HTTPConnection)(self._host, timeout=_TIMEOUT)
        try:
            connection.request(method, f"{path}?{asked}", body, self._signed(method, path, asked, body))
            answer: HTTPResponse = connection.getresponse()
            data = answer.read()
        except OSError as error:
            raise StorageError(f"the object store at {self._host} can't be asked for versions: {error}") from error
        finally:
            connection.close()
        if answer.status in ignoring:
            return b""
        if answer.status not in _OK:
            raise StorageError(f"{method} of versions: the object store at {self._host} answers {answer.status}")
        return data

    def _signed(self, method: str, path: str, query: str, body: bytes) -> dict[str, str]:
        """Return the headers of a request."""
        digest = hashlib.sha256(body).hexdigest()
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        headers = {"host": self._host, "x-amz-content-sha256": digest, "x-amz-date": moment}
        if token := os.environ.get("AWS_SESSION_TOKEN"):
            headers["x-amz-security-token"] = token
        names = ";".join(sorted(headers))
        lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        request = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{digest}"
        scope = f"{moment[:8]}/{self._region}/s3/aws4_request"
        text = "\n".join(("AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(request.encode()).hexdigest()))
        key = f"AWS4{self._secret}".encode()
        for part in (moment[:8], self._region, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self._key}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return headers
