"""Logs: rotated while they are written, and followed while they are rotated."""

from __future__ import annotations

import itertools

from perdure.up import logs


def test_writer_goes_on_after_a_rotation_and_old_logs_go(tmp_path):
    with logs.opened(tmp_path, "api-1") as log:
        for number in range(4):
            log.write(b"%d" % number * 100)
            logs.rotate(tmp_path, largest=50, kept=2)
        log.write(b"last\n")
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found == {"api-1.log": b"last\n", "api-1.log.1": b"3" * 100, "api-1.log.2": b"2" * 100}
    assert logs.names(tmp_path) == ["api-1"]
    assert (tmp_path / "api-1.log.1").stat().st_mode & 0o777 == 0o600


def test_small_logs_are_left_alone(tmp_path):
    with logs.opened(tmp_path, "api-1") as log:
        log.write(b"a\nb\nc\n")
    logs.rotate(tmp_path)
    assert list(logs.read(tmp_path, ["api-1"], 2)) == [("api-1", "b"), ("api-1", "c")]
    assert list(logs.read(tmp_path, ["api-1"], 0)) == []


def test_whole_lines_are_followed_over_a_rotation_and_from_new_logs(tmp_path, monkeypatch):
    moments = itertools.count()

    def go_on() -> bool:
        moment = next(moments)
        if moment == 0:
            log.write(b"one\nhal")
        elif moment == 1:
            log.write(b"f\n")
        elif moment == 2:
            logs.rotate(tmp_path, largest=1)
            with logs.opened(tmp_path, "worker-1") as other:
                other.write(b"new\n")
        return moment < 2

    monkeypatch.setattr(logs, "_PAUSE", 0)
    with logs.opened(tmp_path, "api-1") as log:
        log.write(b"before\n")
        told = list(logs.follow(tmp_path, lambda: logs.names(tmp_path), go_on))
    assert told == [("api-1", "one"), ("api-1", "half"), ("worker-1", "new")]
