"""A room whose packages are missing says which extra brings them."""

import subprocess
import sys

import pytest

ROOMS = {
    "perdure.checkpoint.postgres": ("psycopg", "perdure[postgres]"),
    "perdure.store.postgres": ("psycopg", "perdure[postgres]"),
}

NEEDED = "from perdure.checkpoint.serde.encrypted import EncryptedSerializer; EncryptedSerializer.from_aes(bytes(16))"


@pytest.mark.parametrize("room", ROOMS)
def test_a_missing_package_is_named_with_its_extra(room):
    package, extra = ROOMS[room]
    program = f"import sys; sys.modules[{package!r}] = None; import {room}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ModuleNotFoundError: perdure")
    assert done.stderr.splitlines()[-1].endswith(f"needs {package}: pip install '{extra}'")


def test_encryption_is_needed_only_to_encrypt():
    program = f"import sys; sys.modules['cryptography'] = None; {NEEDED}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].endswith("needs cryptography: pip install 'perdure[encryption]'")
