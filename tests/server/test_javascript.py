"""The SDK for JavaScript, in node: every method of the classic client, and the event protocol."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).with_name("js")


@pytest.fixture(scope="session")
def node(tmp_path_factory):
    """A folder with the clients' packages, and node; installed once a session, whoever comes first."""
    if shutil.which("npm") is None:
        if os.environ.get("PERDURE_CI"):
            pytest.fail("npm is missing: apt-get install nodejs npm")
        pytest.skip("npm is missing: apt-get install nodejs npm")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "js"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            for path in HERE.iterdir():
                shutil.copy(path, folder)
            command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
            subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=300)
            (folder / "installed").touch()
    return folder


def run(folder, *arguments):
    command = ["node", "--experimental-websocket", "--no-warnings", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stdout + done.stderr


@pytest.mark.timeout(400)
@pytest.mark.parametrize("package", ["classic", "@langchain/langgraph-sdk"])
def test_every_method_of_the_classic_client(server, node, package):
    run(node, "classic.mjs", server.url, package)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("transport", ["sse", "websocket"])
def test_the_event_protocol(server, node, transport):
    run(node, "protocol.mjs", server.url, transport)
