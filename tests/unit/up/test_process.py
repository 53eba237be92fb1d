"""Processes: a signal reaches the one that is meant, or nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import time

from perdure.up.process import Process


def test_signal_reaches_its_process_and_never_one_that_started_at_another_time():
    popen = subprocess.Popen(["sleep", "60"])
    known = Process.of(popen)
    assert known.runs
    assert known.ended() is None
    assert not Process(popen.pid, str(int(known.started) + 1)).send(signal.SIGKILL)
    assert not Process(popen.pid, "").send(signal.SIGKILL)
    found = Process(popen.pid, known.started)  # as a supervisor finds it that took this one's place
    assert found.ended() is None
    assert found.send(signal.SIGKILL)
    while (told := known.ended()) is None:
        time.sleep(0.01)
    assert told == "SIGKILL"
    assert not known.send(signal.SIGKILL)
    assert found.ended() == "ended"


def test_exit_codes_are_told_also_of_one_that_was_found():
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 3"], os.environ)
    found = Process(pid, "1")
    while (told := found.ended()) is None:
        time.sleep(0.01)
    assert told == "exit code 3"
    assert not Process(0, "").runs
    assert not Process(2**30, "1").send(signal.SIGTERM)
