"""The server's own tests against four processes on one Postgres, of which one is killed every few seconds.

`make siege` runs all that share a server: two processes answer and two work; HAProxy stands in front, as in production.
It asks the other process when one dies before it has answered, and gives each request a key, so that what was asked
twice is done once. What no balancer can hide (a stream that is cut, a node that begins again) is seen by the test, as
it would be by any client: a test that fails while a process was killed under it is run again, and told of at the end.
One that fails without that has failed.
"""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pytest
from _pytest.runner import runtestprotocol
from tests.server.serving import Served
from tests.servers.postgres import free_port

ENVIRONMENT = {"PERDURE_LEASE_SECONDS": "3", "PERDURE_ATTEMPTS": "100"}

_BALANCER = """
defaults
  mode http
  timeout connect 2s
  timeout client 5m
  timeout server 5m
  timeout tunnel 5m
  option http-buffer-request
  option abortonclose
  option redispatch 1
  retries 10
  retry-on conn-failure empty-response
  unique-id-format %{+X}o%ci%cp%fi%fp%Ts%rt%pid
frontend front
  bind 127.0.0.1:PORT
  http-request set-header Idempotency-Key %[unique-id] unless { req.hdr(Idempotency-Key) -m found }
  default_backend apis
backend apis
  balance roundrobin
  option httpchk
  http-check send meth GET uri /ok ver HTTP/1.1 hdr host 127.0.0.1
  timeout check 2s
  default-server check inter 200ms fall 5 rise 1
"""


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


KILLED: list[float] = []
"""When processes were killed, on the monotonic clock."""

AGAIN: dict[str, list[str]] = {}
"""Tests that were run again, and why."""

_MOST_ATTEMPTS = 4
_OF_ONE_PROCESS = {
    "test_the_server_tells_of_itself",  # its figures are those of the process that is asked
    "test_a_head_without_end_is_cut_off",  # the balancer does that
    "test_a_client_that_doesnt_read_costs_no_memory",  # of the process that it is connected to
    "test_a_client_that_widens_what_it_hears_is_told_the_end_last",  # its streams go to two processes
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that have servers of their own."""
    left_out = [
        item
        for item in items
        if "server" not in getattr(item, "fixturenames", ()) or getattr(item, "originalname", "") in _OF_ONE_PROCESS
    ]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: Any, nextitem: pytest.Item | None) -> bool:
    """Run a test, and again if it fails while a process was killed."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for attempt in range(1, _MOST_ATTEMPTS + 1):
        began = time.monotonic()
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        failed = [report for report in reports if report.failed]
        if not failed or attempt == _MOST_ATTEMPTS or not any(moment > began for moment in KILLED):
            break
        AGAIN.setdefault(item.nodeid, []).append(_why(failed[0]))
        item._initrequest()
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _why(report: Any) -> str:
    lines = [line for line in report.longreprtext.splitlines() if line.startswith("E ")]
    return lines[0][1:].strip() if lines else report.longreprtext.strip().splitlines()[-1]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Tell which tests were run again."""
    terminalreporter.section(f"{len(KILLED)} processes were killed, {len(AGAIN)} tests were run again")
    for nodeid, reasons in AGAIN.items():
        terminalreporter.line(nodeid)
        for why in reasons:
            terminalreporter.line(f"    {why:.180}")


class Besieged:
    """Four processes and a balancer, as one server; a context manager.

    Args:
        folder: For their files.
        database: Their database.
        seed: Of who is killed, and when.
        options: Of each `Served`.
    """

    def __init__(self, folder: Path, database: str, *, seed: int = 1, **options: Any) -> None:
        self._folder = folder
        self._choose = random.Random(seed)
        self._stack = ExitStack()
        environment = {**ENVIRONMENT, **options.pop("environment", {})}
        self.processes = {
            name: Served(folder / name, database, environment=environment, arguments=arguments, **options)
            for name, arguments in {
                "api0": ("--jobs", "0"),
                "api1": ("--jobs", "0"),
                "worker0": ("--no-api", "--jobs", "8"),
                "worker1": ("--no-api", "--jobs", "8"),
            }.items()
        }
        self.url = ""
        self._is_over = threading.Event()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for served in self.processes.values():
                stack.enter_context(served)
            stack.enter_context(self._balancing())
            killing = threading.Thread(target=self._kill, name="siege")
            killing.start()
            stack.callback(killing.join)
            stack.callback(self._is_over.set)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _balancing(self) -> ExitStack:
        haproxy = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
        if haproxy is None:
            raise RuntimeError("haproxy isn't installed: on Debian, apt-get install haproxy")
        port = free_port()
        servers = "".join(
            f"  server {name} {served.url.removeprefix('http://')}\n"
            for name, served in self.processes.items()
            if served.url
        )
        path = self._folder / "haproxy.cfg"
        path.write_text(_BALANCER.replace("PORT", str(port)) + servers)
        with (self._folder / "haproxy.log").open("ab") as log:
            balancer = subprocess.Popen([haproxy, "-db", "-f", str(path)], stdout=log, stderr=log)
        self.url = f"http://127.0.0.1:{port}"
        stack = ExitStack()
        stack.callback(balancer.wait)
        stack.callback(balancer.kill)
        deadline = time.monotonic() + 20
        while not _listens(port):
            if time.monotonic() > deadline:
                raise RuntimeError("haproxy doesn't start")
            time.sleep(0.05)
        return stack

    def _kill(self) -> None:
        while not self._is_over.wait(self._choose.uniform(4, 8)):
            name = self._choose.choice(list(self.processes))
            KILLED.append(time.monotonic())
            self.processes[name].kill()
            self.processes[name].start()
