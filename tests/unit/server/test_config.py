"""Mistakes of a configuration are told with file, key and what to do."""

import json

import pytest

from perdure.errors import InvalidConfigError
from perdure.server.config import find_config, load_config, read_env
from perdure.server.settings import Settings, from_environment, to_environment


@pytest.fixture
def write(tmp_path):
    (tmp_path / "agent.py").touch()

    def written(config, name="perdure.json"):
        path = tmp_path / name
        path.write_text(config if isinstance(config, str) else json.dumps(config))
        return path

    return written


GOOD = {"graphs": {"agent": "./agent.py:graph"}}


def test_the_long_and_the_short_form(write):
    given = {
        "graphs": {"a": "./agent.py:graph", "b": {"path": "x.y:make", "description": "b's"}},
        "dependencies": ["."],
    }
    specs = load_config(write(given)).graph_specs()
    assert (specs["a"].path, specs["b"].path, specs["b"].description) == ("./agent.py:graph", "x.y:make", "b's")


@pytest.mark.parametrize(
    ("config", "message", "hint"),
    [
        ('{"graphs": {"a": "./agent.py:g"},}', "is not JSON: .* at line 1, column 34", "no comma"),
        ('{\n// why\n"graphs": {}}', "is not JSON: .* at line 2", "no comments"),
        ("[]", "must be a JSON object", "graphs"),
        ({}, "graphs: is missing", "agent.py:graph"),
        ({"graphs": {}}, "graphs: there are none", "agent.py:graph"),
        ({"graphs": {"a": "agent"}}, "graphs.a: 'agent' doesn't say which graph", "file.py:name"),
        ({"graphs": {"a": "./agnt.py:g"}}, "graphs.a: there is no file ./agnt.py", "did you mean 'agent.py'"),
        ({"graphs": {"a": "./x.ts:g"}}, "graphs.a: ./x.ts is not Python", "Python"),
        ({**GOOD, "dependancies": []}, "dependancies: there is no such key", "did you mean 'dependencies'"),
        ({**GOOD, "http": {"corz": {}}}, "http.corz: there is no such key", "did you mean 'cors'"),
        ({**GOOD, "http": {"cors": {"origins": []}}}, "http.cors.origins: there is no such key", "allow_origins"),
        ({**GOOD, "store": {"ttl": {"default_ttl": "1"}}}, "store.ttl.default_ttl: Expected", None),
        ({**GOOD, "encryption": {"path": "x"}}, "encryption: not supported", "PERDURE_ENCRYPTION_KEYS"),
        ({**GOOD, "queues": {"q": {"graphs": ["agnt"]}}}, "queues.q.graphs: there is no graph .agnt.", "agent"),
        ({**GOOD, "queues": {"q": {"per_key": {"key": "user"}}}}, "queues.q.per_key: would have no", "max_running"),
        ({**GOOD, "queues": {"q": {"per_key": {"key": "input.x"}}}}, "per_key.key: Expected", None),
        ({**GOOD, "queues": {"q": {"max": 1}}}, "max: there is no such key", "max_running"),
        ({**GOOD, "auth": {"disable_studio_auth": False}}, "auth.disable_studio_auth: would have no effect", "leave"),
        ({**GOOD, "auth": {"cache": {"cache_keys": ["authorization"]}}}, "auth.cache: would have no", "auth.path"),
        ({**GOOD, "auth": {"path": "a.py:a", "cache": {"cache_keys": []}}}, "auth.cache.cache_keys: Expected", None),
        ({**GOOD, "checkpointer": {"serde": {"pickle_fallback": True}}}, "serde.pickle_fallback: would", "register"),
        ({**GOOD, "store": {"path": "a.py:s", "ttl": {}}}, "store.ttl: would have no effect", "store.path"),
        ({**GOOD, "store": {"ttl": {"sweep_interval_minutes": 0}}}, "sweep_interval_minutes: Expected", None),
    ],
)
def test_mistakes(write, config, message, hint):
    path = write(config)
    with pytest.raises(InvalidConfigError, match=message) as caught:
        load_config(path)
    assert str(path) in str(caught.value)
    assert hint is None or hint in caught.value.hint


def test_the_file_is_found_and_perdures_comes_first(write, tmp_path):
    with pytest.raises(InvalidConfigError, match=r"no perdure.json and no langgraph.json"):
        find_config(None, tmp_path)
    theirs = write(GOOD, "langgraph.json")
    assert find_config(None, tmp_path) == theirs
    ours = write(GOOD)
    assert find_config(None, tmp_path) == ours
    assert find_config(theirs, tmp_path) == theirs
    with pytest.raises(InvalidConfigError, match="there is no file"):
        find_config(tmp_path / "no.json", tmp_path)


def test_variables_of_a_file(write, tmp_path):
    (tmp_path / ".env").write_text("# a comment\nA=1\nexport B='two words' \nC=\"x\" \nD=a # b\n\nE=\n")
    config = load_config(write({**GOOD, "env": ".env"}))
    assert read_env(config, tmp_path) == {"A": "1", "B": "two words", "C": "x", "D": "a", "E": ""}
    (tmp_path / ".env").write_text("A=1\nnonsense\n")
    with pytest.raises(InvalidConfigError, match="line 2: not NAME=value"):
        read_env(config, tmp_path)
    with pytest.raises(InvalidConfigError, match="no file"):
        read_env(load_config(write({**GOOD, "env": "no.env"})), tmp_path)
    assert read_env(load_config(write({**GOOD, "env": {"A": "1"}})), tmp_path) == {"A": "1"}


def test_settings_go_through_the_environment_and_back(tmp_path):
    given = Settings(
        config=tmp_path / "p.json", jobs=3, lease=2.5, timeout=1.0, insecure=True, api_keys={"k": "name", "l": "other"}
    )
    assert from_environment(to_environment(given)) == given
    assert from_environment({"PERDURE_API_KEYS": "a:1, 2"}).api_keys == {"1": "a", "2": "key 2"}
    with pytest.raises(InvalidConfigError, match="PERDURE_PORT='x' is not a number"):
        from_environment({"PERDURE_PORT": "x"})
    with pytest.raises(InvalidConfigError, match="neither true nor false"):
        from_environment({"LOG_JSON": "maybe"})
