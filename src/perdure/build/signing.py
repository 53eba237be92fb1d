"""Signatures of bundles: Ed25519 (RFC 8032), with keys in the files that OpenSSL reads and writes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from perdure.build.errors import BuildError, explained

INSTALL: Final = "pip install 'perdure[bundle]'"


def _library() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ModuleNotFoundError as missing:
        raise BuildError(f"signatures need {missing.name}, not installed here", hint=INSTALL) from missing
    return ed25519, serialization


def make_keys(path: Path) -> Path:
    """Make a pair of keys; return the public one's file, `PATH.pub`.

    Args:
        path: The private one's file, for its owner only; it must not be there.

    Raises:
        BuildError: It is there, or can't be written.
    """
    ed25519, serialization = _library()
    public = path.with_name(f"{path.name}.pub")
    for each in (path, public):
        if each.exists():
            raise BuildError(f"{each} is there already", hint="a key that is replaced can't sign any more")
    key = ed25519.Ed25519PrivateKey.generate()
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    told = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with explained(path):
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secret)
        public.write_bytes(told)
    return public


def sign(data: bytes, key: Path) -> bytes:
    """Return the signature, 64 bytes.

    Raises:
        BuildError: The file has no private Ed25519 key, or one behind a passphrase.
    """
    ed25519, serialization = _library()
    try:
        found = serialization.load_pem_private_key(_read(key), None)
    except (ValueError, TypeError) as e:
        raise BuildError(
            f"{key} has no private key that can be read: {e}", hint="`perdure bundle key FILE` makes one"
        ) from e
    if not isinstance(found, ed25519.Ed25519PrivateKey):
        raise BuildError(f"{key} is no Ed25519 key", hint="`perdure bundle key FILE` makes one")
    signature: bytes = found.sign(data)
    return signature


def is_signed(data: bytes, signature: bytes, key: Path) -> bool:
    """Tell whether a signature is of these bytes and of a public key's owner.

    Raises:
        BuildError: The file has no public Ed25519 key.
    """
    ed25519, serialization = _library()
    from cryptography.exceptions import InvalidSignature

    try:
        found = serialization.load_pem_public_key(_read(key))
    except ValueError as e:
        raise BuildError(f"{key} has no public key: {e}", hint="it is the file that ends in .pub") from e
    if not isinstance(found, ed25519.Ed25519PublicKey):
        raise BuildError(f"{key} is no Ed25519 key", hint="it is the file that ends in .pub")
    try:
        found.verify(signature, data)
    except InvalidSignature:
        return False
    return True


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise BuildError(f"can't read the key {path}: {e.strerror}") from e
