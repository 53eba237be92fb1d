"""Envelopes and sealed frames: each bit counts, and so does each part of a place."""

import base64
import os

import pytest

from perdure.checkpoint import frames
from perdure.checkpoint.sealing import PLAIN, Vault, key_of
from perdure.checkpoint.serde.encrypted import EncryptedSerializer, KeyService, LocalKeys
from perdure.checkpoint.serde.envelopes import Envelopes
from perdure.checkpoint.serde.jsonplus import JsonPlusSerializer
from perdure.checkpoint.serde.keys import VARIABLE, encrypted_if_keys_are_set
from perdure.errors import CorruptCheckpointError, EncryptionError, InvalidConfigError, SerializationError

A, B = (os.urandom(32) for _ in range(2))
PLACE = ("record", "1f1ec9d5")


def vault(keys: KeyService, tenant: str = "") -> Vault:
    return Vault(Envelopes(keys), tenant, frozenset())


def test_a_flipped_bit_is_seen_wherever_it_is():
    sealing = vault(LocalKeys({"a": A})).at("t", "")
    frame = frames.seal("record", b"content", place=PLACE[1])
    data = sealing.close(frame, *PLACE)
    assert sealing.open(data, *PLACE) == frame
    assert b"content" not in data
    for at in range(len(data)):
        for bit in range(8):
            for anew in (False, True):
                made = bytearray(data)
                made[at] ^= 1 << bit
                if anew:
                    made[: frames.CHECKSUM] = frames.xxh3_64_digest(bytes(made[frames.CHECKSUM :]))
                if bytes(made) == data:
                    continue
                with pytest.raises(CorruptCheckpointError):
                    sealing.open(bytes(made), *PLACE)
    for length in range(len(data)):
        cut = data[frames.CHECKSUM : length]
        with pytest.raises(CorruptCheckpointError):
            sealing.open(frames.xxh3_64_digest(cut) + cut, *PLACE)


def test_each_part_of_a_place_counts():
    keys = LocalKeys({"a": A})
    place = ("writes", "checkpoint", "task", "path")
    data = vault(keys, "tenant").at("thread", "space").close(b"frame", *place)
    others = [
        (tenant, thread, space, (kind, *rest))
        for tenant in ("tenant", "")
        for thread in ("thread", "threadspace", "")
        for space in ("space", "")
        for kind in ("writes", "record")
        for rest in (place[1:], ("checkpoint", "taskpath", ""), ("checkpointtask", "", "path"), place[1:3])
    ]
    opened = []
    for tenant, thread, space, where in others:
        try:
            vault(keys, tenant).at(thread, space).open(data, *where)
        except CorruptCheckpointError:
            continue
        opened.append((tenant, thread, space, where))
    assert opened == [("tenant", "thread", "space", place)]


def test_the_same_frame_is_never_the_same_bytes():
    sealing = vault(LocalKeys({"a": A})).at("t", "")
    assert len({sealing.close(b"frame", *PLACE) for _ in range(100)}) == 100


def test_what_is_plain_is_told_from_what_is_damaged():
    sealing = vault(LocalKeys({"a": A})).at("t", "")
    plain = frames.seal("record", b"content", place=PLACE[1])
    with pytest.raises(EncryptionError, match="aren't encrypted"):
        sealing.open(plain, *PLACE)
    for data in (plain[:-1], b"", b"short"):
        with pytest.raises(CorruptCheckpointError, match="checksum") as refused:
            sealing.open(data, *PLACE)
        assert not isinstance(refused.value, EncryptionError)
    data = sealing.close(plain, *PLACE)
    for place in ("", PLACE[1]):
        with pytest.raises(EncryptionError, match="are encrypted"):
            frames.unseal(PLAIN.open(data, *PLACE), place)


def test_a_data_key_is_used_as_long_as_its_key_is_the_current_one():
    keys = LocalKeys({"a": A})
    one, other = vault(keys).at("t", ""), vault(keys)
    first = one.close(b"1", *PLACE)
    assert head(one.close(b"2", *PLACE)) == head(first)
    other.at("t", "").open(first, *PLACE)
    assert head(other.at("u", "x").close(b"3", *PLACE)) == head(first)
    newer = vault(LocalKeys({"b": B, "a": A}))
    newer.at("t", "").open(first, *PLACE)
    made = newer.at("t", "").close(b"4", *PLACE)
    assert (key_of(first), key_of(made)) == ("a", "b")
    assert newer.at("t", "").is_current(made)
    assert not newer.at("t", "").is_current(first)


class Changing(LocalKeys):
    """A key service whose current key is changed while a program runs."""

    def change(self, name: str) -> None:
        self._current = name


def test_the_current_key_may_change_at_any_time():
    keys = Changing({"a": A, "b": B})
    sealing = vault(keys).at("t", "")
    first = sealing.close(b"1", *PLACE)
    keys.change("b")
    second = sealing.close(b"2", *PLACE)
    assert (key_of(first), key_of(second)) == ("a", "b")
    assert (sealing.open(first, *PLACE), sealing.open(second, *PLACE)) == (b"1", b"2")


def head(data: bytes) -> bytes:
    return data[frames.CHECKSUM + 1 :][: 2 + 2 + 40]


def test_keys_are_forgotten_when_there_are_many(monkeypatch):
    monkeypatch.setattr("perdure.checkpoint.serde.envelopes._MOST", 4)
    monkeypatch.setattr("perdure.checkpoint.sealing._MOST", 4)
    made = vault(LocalKeys({"a": A}))
    stored = [made.at(str(n), "").close(b"%d" % n, *PLACE) for n in range(20)]
    assert [made.at(str(n), "").open(data, *PLACE) for n, data in enumerate(stored)] == [b"%d" % n for n in range(20)]
    assert len(made._known) <= 4


def test_keys_of_the_environment(monkeypatch):
    for name in (VARIABLE, "PERDURE_AES_KEY", "LANGGRAPH_AES_KEY"):
        monkeypatch.delenv(name, raising=False)
    plain = JsonPlusSerializer()
    assert encrypted_if_keys_are_set(plain) is plain
    with pytest.raises(InvalidConfigError, match="no key"):
        EncryptedSerializer.from_environment()
    monkeypatch.setenv("PERDURE_AES_KEY", "k" * 16)
    assert encrypted_if_keys_are_set(plain).serde is plain
    assert EncryptedSerializer.from_environment().keys.current.startswith("aes-")
    text = ", ".join(f"{name}:{base64.b64encode(key).decode()}" for name, key in (("b", B), ("a", A)))
    monkeypatch.setenv(VARIABLE, text)
    serde = encrypted_if_keys_are_set(plain)
    assert (serde.keys.current, serde.serde) == ("b", plain)
    assert serde.loads_typed(EncryptedSerializer.from_keys(LocalKeys({"a": A})).dumps_typed({"x": 1})) == {"x": 1}
    for wrong in ("a", "a:", "a:c2hvcnQ=", f"{text},a:{base64.b64encode(A).decode()}", "a:not base64"):
        monkeypatch.setenv(VARIABLE, wrong)
        with pytest.raises(InvalidConfigError, match="PERDURE_ENCRYPTION_KEYS: entry") as refused:
            EncryptedSerializer.from_environment()
        assert base64.b64encode(A).decode() not in str(refused.value)


def test_wrong_keys_are_told():
    for keys, current, message in (
        ({}, None, "no key"),
        ({"a": b"short"}, None, "5 bytes"),
        ({"a": A}, "b", "current key is 'b', and there are 'a'"),
        ({"a" * 256: A}, None, "up to 255 bytes"),
    ):
        with pytest.raises(InvalidConfigError, match=message):
            LocalKeys(keys, current)


def test_a_name_that_another_key_has_got_is_told_and_not_guessed():
    stored = vault(LocalKeys({"a": A})).at("t", "").close(b"frame", *PLACE)
    with pytest.raises(EncryptionError, match="the key 'a', and none of the keys at hand"):
        vault(LocalKeys({"a": B, "b": A})).at("t", "").open(stored, *PLACE)
    assert vault(LocalKeys({"c": B, "b": A})).at("t", "").open(stored, *PLACE) == b"frame"


def test_values_are_put_under_the_current_key():
    old, new = (EncryptedSerializer.from_keys(LocalKeys(keys)) for keys in ({"a": A}, {"b": B, "a": A}))
    stored = old.dumps_typed([1])
    renewed = new.renewed(stored)
    assert renewed is not None
    assert new.renewed(renewed) is None
    assert EncryptedSerializer.from_keys(LocalKeys({"b": B})).loads_typed(renewed) == [1]
    with pytest.raises(SerializationError, match="encrypted ones only"):
        new.renewed(("msgpack", b"\x90"))
    with pytest.raises(SerializationError, match="encrypted by 'aes-gcm-siv'"):
        new.renewed(EncryptedSerializer.from_aes(A).dumps_typed([1]))
    single = EncryptedSerializer.from_aes(A)
    assert single.renewed(single.dumps_typed([1])) is None
