"""What is done on a machine without a network: `unshare --net python -m tests.build.airgapped FOLDER`.

In the folder are a bundle and a public key. Checks that there is no route, verifies and installs the bundle, gives its
image to Podman and to the site's registry, runs it by Podman and its project without containers, and drives both with
the platform's SDK.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from langgraph_sdk import get_sync_client
from tests.build.conftest import perdure
from tests.build.containers import Container, OwnRegistry, Podman, free_port

KEY = "k3y"


def check_route() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with socket.socket() as trying:
        assert trying.connect_ex(("192.0.2.1", 80)) == errno.ENETUNREACH


def ask(url: str) -> None:
    with get_sync_client(url=url, api_key=KEY) as client:
        thread = client.threads.create()["thread_id"]
        client.runs.wait(thread, "asking", input={})
        assert client.runs.wait(thread, "asking", command={"resume": "yes"})["answer"] == "yes"


def main(folder: Path) -> int:
    check_route()
    place = folder / "place"
    podman = Podman(folder / "podman")
    with OwnRegistry(folder / "registry") as registry:
        name = f"{registry.name}/team/agent:1"
        command = ["bundle", "install", "bundle.tar", "--into", "place", "--public-key", "key.pub", "--venv", "--load"]
        about = json.loads(perdure(*command, "--push", name, "--json", cwd=folder, env=podman.environment).stdout)
        asked = ["skopeo", "inspect", "--tls-verify=false", f"docker://{name}"]
        assert json.loads(subprocess.run(asked, check=True, capture_output=True).stdout)["Digest"] == about["digest"]
        podman("pull", "--quiet", "--tls-verify=false", name)  # as the site's machines do
        loaded, pulled = podman("images", "--format", "{{.Names}} {{.Id}}", "--no-trunc").splitlines()
        assert loaded.split()[-1] == pulled.split()[-1]
    assert (place / "chart" / "charts" / "postgres" / "Chart.yaml").is_file()
    volume = folder / "volume"
    volume.mkdir()
    volume.chmod(0o777)
    with Container(podman, "localhost/agent:1", volume, {"PERDURE_API_KEYS": KEY}) as container:
        ask(container.url)
    podman("system", "reset", "--force")

    port = free_port()
    environment = {"PATH": os.environ["PATH"], "PERDURE_API_KEYS": KEY, "NOTES": str(folder)}
    for words in (["up", "--engine", "processes", "--port", str(port), "--wait"], None, ["down"]):
        if words is None:
            ask(f"http://127.0.0.1:{port}")
        else:
            own = [place / "venv" / "bin" / "perdure", *words]
            done = subprocess.run(own, cwd=place / "project", env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
    print("done without a network")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
