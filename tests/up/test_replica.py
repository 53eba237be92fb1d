"""A copy of the SQLite file elsewhere: a machine that is lost with all that was on it is begun again from there."""

from __future__ import annotations

import os
import shutil
import signal
import time

import pytest
from langgraph_sdk import get_sync_client
from tests.servers.fixtures import _require
from tests.servers.postgres import ServerMissing

from perdure.up import replica
from perdure.up.errors import DeploymentError


def litestream() -> None:
    try:
        replica.program()
    except DeploymentError as missing:
        raise ServerMissing(str(missing)) from missing


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("file:///mnt/copy", {"type": "file", "path": "/mnt/copy"}),
        ("s3://b/a/c", {"type": "s3", "bucket": "b", "path": "a/c"}),
        (
            "s3://b?endpoint=http://h:1&region=r",
            {
                "type": "s3",
                "bucket": "b",
                "path": "perdure",
                "endpoint": "http://h:1",
                "region": "r",
                "force-path-style": True,
            },
        ),
    ],
)
def test_places(url, told, monkeypatch):
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    assert replica.settings(url) == told | {"sync-interval": "1s"}


@pytest.mark.parametrize("url", ["b", "s3://", "ftp://h/x", "s3://b?secret=x", "file://host/x"])
def test_what_is_no_place_is_refused(url):
    with pytest.raises(DeploymentError, match="no place for a replica"):
        replica.settings(url)
    with pytest.raises(DeploymentError, match="is for SQLite"):
        replica.check("postgresql://x", "file:///x")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_what_was_done_some_seconds_ago_survives_the_machine(deployed, tmp_path):
    _require(litestream)
    place = f"file://{tmp_path / 'elsewhere'}"
    up = ("up", "--engine", "processes", "--port", str(deployed.port), "--workers", "0", "--replica", place, "--wait")
    deployed(*up)
    with get_sync_client(url=deployed.url) as client:
        thread = client.threads.create()["thread_id"]
        client.runs.wait(thread, "line", input={"items": []})
    time.sleep(3)
    told = deployed.ps(0)
    for pid in (told["supervisor"], *told["pids"].values()):
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(deployed.folder / ".perdure")
    deployed(*up)
    with get_sync_client(url=deployed.url) as client:
        assert client.threads.get_state(thread)["values"]["items"] == ["first", "second"]
    assert "restored from" in deployed("logs", "supervisor")
