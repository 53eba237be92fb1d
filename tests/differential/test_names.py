"""The table of names says what is true."""

from tests.differential import names


def test_every_name_is_there_or_has_a_reason():
    lacking = [
        f"{path}.{name}"
        for path, found in names.reference().items()
        for name in found
        if not names.has(path, name) and names.why_absent(path, name) is None
    ]
    assert lacking == []


def test_nothing_is_called_absent_that_is_there():
    known = names.reference()
    for key in names.ABSENT:
        if key in known:
            assert any(not names.has(key, name) for name in known[key]), key
        else:
            path, _, name = key.rpartition(".")
            assert name in known[path], key
            assert not names.has(path, name), key


def test_what_is_called_better_is_there():
    known = names.reference()
    for key in names.BETTER:
        path, _, name = key.rpartition(".")
        assert name in known[path], key
        assert names.has(path, name), key


def test_the_page_has_the_table():
    assert names.table(names.reference()) in names.PAGE.read_text(), "run: python -m tests.differential.names"
