"""Whether what a saver has acknowledged outlives its process: one is killed while it writes, again and again.

A child writes checkpoints, and writes of tasks on top of them, and tells of each when the saver has. It is killed. Then
all that it told of must be there, and whatever else is there must be whole.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from perdure.checkpoint.conformance.case import Failure, checkpoint, expect, place
from perdure.checkpoint.conformance.opening import Make, load, opened

KILLS: Final = 10
_LONGEST: Final = 0.4
"""Seconds after the first acknowledgement within which the child is killed."""
_PATIENCE: Final = 60.0


def is_durable(make: Make, where: str) -> bool:
    """Tell whether a saver means to keep anything after it was closed."""
    with opened(make, where) as saver:
        saver.put(place("is-kept"), checkpoint({"x": 1}), {"source": "input", "step": -1, "parents": {}}, {"x": 1})
    with opened(make, where) as saver:
        return saver.get_tuple(place("is-kept")) is not None


def survive(spec: str, where: str, kills: int = KILLS) -> None:
    """Kill writers of one thread, and look each time at what is there.

    Raises:
        Failure: Something that was acknowledged is gone, or something isn't whole.
    """
    make, told = load(spec), 0
    for _ in range(kills):
        told = max(told, _killed(spec, where, told))
        with opened(make, where) as saver:
            told = _look(saver, told)


def _killed(spec: str, where: str, after: int) -> int:
    """Let a child go on behind a checkpoint, and kill it; return the last one that it told of."""
    paths = [str(Path.cwd()), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-m", __name__, spec, where]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as child:  # noqa: S603 - this file, once more
        assert child.stdout is not None
        assert child.stderr is not None
        if not child.stdout.readline():
            raise Failure(f"a process that opens the saver to write ended: {child.stderr.read()[-1000:]}")
        time.sleep(random.random() * _LONGEST)  # noqa: S311 - any moment will do
        child.send_signal(signal.SIGKILL)
        lines = child.communicate(timeout=_PATIENCE)[0].splitlines()
    whole = [line for line in lines if line.endswith(".")]  # the last one may be cut off
    return int(whole[-1].rstrip(".")) if whole else after


def _look(saver: Any, told: int) -> int:
    """Compare what is there with what was told; return how many checkpoints there are."""
    found = {one.metadata["step"]: one for one in saver.list(place("killed"))}
    count = max(found, default=0)
    if count < told:
        raise Failure(f"checkpoint {told} was acknowledged, and the last one that is there is {count}")
    expect(sorted(found), list(range(1, count + 1)), "checkpoints that are there")
    for n, one in found.items():
        expect(one.checkpoint["channel_values"], _values(n), f"values of checkpoint {n}")
        if n < told:  # those on the last one may not have been acknowledged
            expect(one.pending_writes, [("task", "x", n)], f"writes on checkpoint {n}")
    return count


def _values(n: int) -> dict[str, Any]:
    return {"items": [f"item {i}" * 20 for i in range(n % 50)], "n": n}


def write(saver: Any) -> None:
    """Write checkpoints behind those that are there, until somebody ends it."""
    head = saver.get_tuple(place("killed"))
    config = place("killed") if head is None else head.config
    n = 0 if head is None else head.metadata["step"]
    if n:
        saver.put_writes(config, [("x", n)], "task")  # the process may have died in front of them
    _say("ready")
    while True:
        n += 1
        made = checkpoint(_values(n), {"items": n, "n": n}, after=config["configurable"].get("checkpoint_id"))
        about: Any = {"source": "loop", "step": n, "parents": {}}
        config = saver.put(config, made, about, {"items": n, "n": n})
        _say(f"{n}.")
        saver.put_writes(config, [("x", n)], "task")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with opened(load(sys.argv[1]), sys.argv[2]) as to_write:
        write(to_write)
