"""Encrypted values: read back, unreadable otherwise, and nothing else is read."""

import pickle
from datetime import UTC, datetime

import pytest

from perdure.checkpoint.serde.base import SerializerProtocol
from perdure.checkpoint.serde.encrypted import EncryptedSerializer
from perdure.checkpoint.serde.jsonplus import JsonPlusSerializer
from perdure.errors import CorruptCheckpointError, InvalidConfigError, SerializationError, UnknownTypeError

KEY = b"0123456789abcdef"
VALUES = [None, 1, "a secret text", b"bytes", {"when": datetime(2026, 1, 2, tzinfo=UTC)}, ["x" * 5000] * 3]


@pytest.fixture
def serde():
    return EncryptedSerializer.from_aes(KEY)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("size", [16, 24, 32])
def test_values_come_back(value, size):
    serde = EncryptedSerializer.from_pycryptodome_aes(key=b"k" * size)
    kind, data = serde.dumps_typed(value)
    assert serde.loads_typed((kind, data)) == value
    assert kind == "encrypted+aes-gcm-siv"  # not even that it is None is told
    assert b"secret" not in data


def test_equal_values_give_different_bytes(serde):
    assert serde.dumps_typed("a") != serde.dumps_typed("a")
    assert isinstance(serde, SerializerProtocol)


def test_every_changed_bit_is_noticed(serde):
    kind, data = serde.dumps_typed("secret")
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(CorruptCheckpointError, match="can't be decrypted"):
            serde.loads_typed((kind, changed))
    for short in range(len(data)):
        with pytest.raises(CorruptCheckpointError):
            serde.loads_typed((kind, data[:short]))


def test_another_key_is_no_key(serde):
    made = serde.dumps_typed("secret")
    with pytest.raises(CorruptCheckpointError, match="another key"):
        EncryptedSerializer.from_aes(KEY[::-1]).loads_typed(made)


@pytest.mark.parametrize("value", VALUES)
def test_plain_bytes_are_refused(serde, value):
    with pytest.raises(SerializationError, match="encrypted ones only"):
        serde.loads_typed(JsonPlusSerializer().dumps_typed(value))


def test_another_cipher_is_named(serde):
    with pytest.raises(SerializationError, match="encrypted by 'rot13'"):
        serde.loads_typed(("encrypted+rot13", b"..."))


def test_the_key_of_the_environment(monkeypatch):
    for name in ("PERDURE_AES_KEY", "LANGGRAPH_AES_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InvalidConfigError, match="no key"):
        EncryptedSerializer.from_pycryptodome_aes()
    monkeypatch.setenv("LANGGRAPH_AES_KEY", KEY.decode())
    made = EncryptedSerializer.from_pycryptodome_aes().dumps_typed(1)
    assert EncryptedSerializer.from_aes(KEY).loads_typed(made) == 1
    monkeypatch.setenv("PERDURE_AES_KEY", "too short")
    with pytest.raises(InvalidConfigError, match="this is 9 bytes"):
        EncryptedSerializer.from_aes()


def test_other_parameters_are_refused():
    with pytest.raises(InvalidConfigError, match="not mode"):
        EncryptedSerializer.from_pycryptodome_aes(key=KEY, mode=9)
    with pytest.raises(InvalidConfigError, match="this is str"):
        EncryptedSerializer.from_aes("0123456789abcdef")  # type: ignore[arg-type]


def test_a_cipher_and_a_serializer_of_ones_own():
    class Backwards:
        def encrypt(self, plaintext):
            return "backwards", plaintext[::-1]

        def decrypt(self, ciphername, ciphertext):
            assert ciphername == "backwards"
            return ciphertext[::-1]

    class Pickle:
        def dumps_typed(self, obj):
            return "pickle", pickle.dumps(obj)

        def loads_typed(self, data):
            assert data[0] == "pickle"
            return pickle.loads(data[1])

    serde = EncryptedSerializer(Backwards(), Pickle())
    made = serde.dumps_typed((1, 2))
    assert made[0] == "encrypted+backwards"
    assert serde.loads_typed(made) == (1, 2)
    serde.register_types([int])  # Pickle keeps no registry


def test_types_are_registered_with_the_serializer_within():
    from perdure.checkpoint.serde.registry import TypeRegistry

    class Thing(str):
        __slots__ = ()

    within = JsonPlusSerializer(registry=TypeRegistry())
    reading = EncryptedSerializer.from_aes(KEY, within)
    made = EncryptedSerializer.from_aes(KEY).dumps_typed(Thing("x"))
    with pytest.raises(UnknownTypeError):
        reading.loads_typed(made)
    reading.register_types([Thing])
    assert type(reading.loads_typed(made)) is Thing
