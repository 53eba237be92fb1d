"""The socket that all API processes of a deployment share."""

from __future__ import annotations

import os
import socket
from typing import Final

from perdure.up.deployment import Deployment
from perdure.up.errors import DeploymentError

_BACKLOG: Final = 2048
_DESCRIPTOR: Final = "PERDURE_UP_FD"


def bound(deployment: Deployment, *, is_shared: bool) -> socket.socket:
    """Return a socket at the deployment's address, which later supervisors can share.

    Args:
        deployment: Which.
        is_shared: Whether others of the deployment may listen there already.

    Raises:
        DeploymentError: The address is taken.
    """
    family = socket.AF_INET6 if ":" in deployment.host else socket.AF_INET
    address = (deployment.host, deployment.port)
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        if not is_shared:  # another deployment's would be shared in silence
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        made.bind(address)
        made.listen(_BACKLOG)
    except OSError as e:
        made.close()
        where = f"{deployment.host}:{deployment.port}"
        raise DeploymentError(f"can't listen at {where}: {e.strerror}", hint="--port names another") from e
    return made


def bequeath(listening: socket.socket) -> None:
    """Leave a socket to the program that this process is about to become."""
    listening.set_inheritable(True)
    os.environ[_DESCRIPTOR] = str(listening.fileno())


def inherited() -> socket.socket | None:
    """Return the socket of the supervisor that this process was before, if it was one."""
    descriptor = os.environ.pop(_DESCRIPTOR, None)
    if descriptor is None:
        return None
    found = socket.socket(fileno=int(descriptor))
    found.set_inheritable(False)
    return found
