"""Bundles as archives: what was changed on the way isn't used. That they run is in test_image.py."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from perdure.build import bundles, signing
from perdure.build.errors import BuildError

ABOUT = {"format": 1, "tags": ["agent:1"]}


@pytest.fixture
def keys(tmp_path) -> tuple[Path, Path]:
    return tmp_path / "key", signing.make_keys(tmp_path / "key")


def written(folder: Path, key: Path | None, **files: str) -> Path:
    source = folder / "source"
    for name, text in {"bundle.json": json.dumps(ABOUT), "a/b": "x" * 3_000_000, **files}.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    bundles.write(source, folder / "bundle.tar", key, 0)
    return folder / "bundle.tar"


def rewritten(archive: Path, change) -> None:
    """Write a bundle anew with its members changed: `change` is given a dict of names and contents."""
    with tarfile.open(archive) as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar}
    members = change(members) or members
    with tarfile.open(archive, "w") as tar:
        for name, data in members.items() if isinstance(members, dict) else members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def test_bundle_is_the_same_twice_and_other_tools_can_check_it(tmp_path, keys):
    archive = written(tmp_path, keys[0])
    first = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert bundles.write(tmp_path / "source", archive, keys[0], 0) == first
    assert bundles.verify(archive, keys[1]) == ABOUT
    assert bundles.unpack(archive, keys[1], tmp_path / "place") == ABOUT
    subprocess.run(["tar", "-xf", archive, "-C", tmp_path / "place", bundles.SUMS, bundles.SIGNATURE], check=True)
    subprocess.run(["sha256sum", "--quiet", "--strict", "-c", bundles.SUMS], cwd=tmp_path / "place", check=True)
    words = ["-rawin", "-in", bundles.SUMS, "-sigfile", bundles.SIGNATURE]
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", keys[1], *words]
    assert b"Verified" in subprocess.run(command, cwd=tmp_path / "place", check=True, capture_output=True).stdout
    assert keys[0].stat().st_mode & 0o777 == 0o600


def drop_file(members):
    del members["a/b"]


def change_file(members):
    members["a/b"] += b"y"


def change_sums(members):
    members["a/b"] = b"y"
    members[bundles.SUMS] = members[bundles.SUMS].replace(
        hashlib.sha256(b"x" * 3_000_000).hexdigest().encode(), hashlib.sha256(b"y").hexdigest().encode()
    )


def add_file(members):
    members["../../evil"] = b""


def repeat_file(members):
    return [*members.items(), ("a/b", members["a/b"])]


def drop_signature(members):
    del members[bundles.SIGNATURE]


def forge_signature(members):
    members[bundles.SIGNATURE] = bytes(64)


def begin_elsewhere(members):
    return list(members.items())[::-1]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (drop_file, "lacks a/b"),
        (change_file, "a/b isn't what"),
        (change_sums, "isn't signed by the owner"),
        (add_file, "isn't listed"),
        (repeat_file, "isn't listed in its SHA256SUMS, or is there twice"),
        (drop_signature, "isn't signed"),
        (forge_signature, "isn't signed by the owner"),
        (begin_elsewhere, "no bundle"),
    ],
)
def test_changed_bundles_are_refused_and_nothing_is_unpacked(tmp_path, keys, change, told):
    archive = written(tmp_path, keys[0])
    rewritten(archive, change)
    for use in (bundles.verify, lambda *given: bundles.unpack(*given, tmp_path / "place")):
        with pytest.raises(BuildError, match=told):
            use(archive, keys[1])
    assert not (tmp_path / "place").exists()
    assert not list(tmp_path.glob(".perdure-*"))


def test_listed_names_that_lead_out_are_refused(tmp_path, keys):
    archive = written(tmp_path, None)

    def lead_out(members):
        members["../evil"] = members.pop("a/b")
        members[bundles.SUMS] = members[bundles.SUMS].replace(b"a/b", b"../evil")

    rewritten(archive, lead_out)
    with pytest.raises(BuildError, match="no line of SHA256SUMS"):
        bundles.unpack(archive, None, tmp_path / "place")


def test_unfinished_archives_and_wrong_keys_are_told(tmp_path, keys):
    archive = written(tmp_path, keys[0])
    archive.write_bytes(archive.read_bytes()[:-1_500_000])
    with pytest.raises(BuildError, match=r"isn't whole|isn't what"):
        bundles.verify(archive, keys[1])
    with pytest.raises(BuildError, match="has no public key"):
        bundles.verify(written(tmp_path, keys[0]), keys[0])
    with pytest.raises(BuildError, match="private key"):
        written(tmp_path, keys[1])
    with pytest.raises(BuildError, match="is there already"):
        signing.make_keys(keys[0])
    other = signing.make_keys(tmp_path / "other")
    with pytest.raises(BuildError, match="isn't signed by the owner"):
        bundles.verify(written(tmp_path, keys[0]), other)


@pytest.mark.parametrize("about", ["", "[]", "{}", "nonsense", '{"format": 2}'])
def test_what_a_bundle_says_about_itself_is_looked_at(tmp_path, about):
    archive = written(tmp_path, None, **{"bundle.json": about})
    with pytest.raises(BuildError, match=r"no bundle|is of format"):
        bundles.verify(archive, None)


def test_a_bundle_that_says_nothing_is_none(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source/a").write_text("x")
    bundles.write(tmp_path / "source", tmp_path / "bundle.tar", None, 0)
    with pytest.raises(BuildError, match=r"bundle\.json is missing"):
        bundles.verify(tmp_path / "bundle.tar", None)
