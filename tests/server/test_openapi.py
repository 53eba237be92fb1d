"""Requests made from the description of the API by schemathesis: it keeps what it promises, and nothing breaks."""

import json
import time
import uuid
from urllib.parse import urlsplit

import httpx
import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis import checks as every
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi import checks as described

SECONDS, SECONDS_ON_POSTGRES = 45.0, 25.0  # what answers is the same
ENDLESS = {"/threads/{thread_id}/stream"}  # it ends when the client goes
CHECKS = [
    every.not_a_server_error,
    described.status_code_conformance,
    described.content_type_conformance,
    described.response_schema_conformance,
]
pytestmark = pytest.mark.timeout(180)
SETTINGS = settings(
    max_examples=40,
    deadline=None,
    database=None,
    derandomize=True,
    report_multiple_bugs=False,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def description(server):
    found = httpx.get(f"{server.url}/openapi.json").json()
    return schemathesis.openapi.from_dict(found), found


@pytest.fixture(scope="module")
def known(server):
    """Ids of things that are there, which random ones never are."""
    with httpx.Client(base_url=server.url, timeout=30) as http:
        thread = http.post("/threads", json={"metadata": {"graph_id": "line"}}).json()["thread_id"]
        run = http.post(f"/threads/{thread}/runs", json={"assistant_id": "line", "input": {"items": []}}).json()
        http.get(f"/threads/{thread}/runs/{run['run_id']}/join")
        cron = http.post("/runs/crons", json={"assistant_id": "line", "schedule": "0 0 1 1 *"}).json()
        head = http.get(f"/threads/{thread}/state").json()["checkpoint_id"]
        made = http.post("/assistants", json={"graph_id": "line"}).json()
    return {
        "thread_id": thread,
        "run_id": run["run_id"],
        "cron_id": cron["cron_id"],
        "checkpoint_id": head,
        "assistant_id": made["assistant_id"],
        "namespace": "x",
    }


class EnoughError(Exception):
    """The time is up: hypothesis has no other way to be told."""


def bounded(body):
    """Let a run that is waited for begin now, and a graph be one that is there."""
    for one in body if isinstance(body, list) else [body]:
        if isinstance(one, dict):
            one.pop("after_seconds", None)
            one.pop("webhook", None)
            if isinstance(one.get("assistant_id"), str):
                one["assistant_id"] = "line"
            if isinstance(one.get("graph_id"), str):
                one["graph_id"] = "line"


def test_every_operation_keeps_its_promises(server, database_url, description, known):
    schema, _ = description
    operations = [found.ok() for found in schema.get_all_operations()]
    operations = [one for one in operations if one.path not in ENDLESS]
    seconds = SECONDS_ON_POSTGRES if database_url.startswith("postgres") else SECONDS
    share = seconds / (2 * len(operations))
    failures, sent = {}, {}
    client = httpx.Client(base_url=server.url, timeout=20)
    for operation in operations:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try:
                strategy = operation.as_strategy(mode)
                ends = time.monotonic() + share
                exercise(client, strategy, known, ends, sent)
            except EnoughError:
                continue
            except (Exception, FailureGroup) as e:
                if type(e).__name__ in {"Unsatisfiable", "InvalidArgument"}:
                    continue  # nothing of this kind can be made for this operation
                failures[operation.label, mode.name] = str(e)
    client.close()
    assert not failures, "\n\n".join(f"{label}: {text}" for label, text in failures.items())
    assert sent.keys() == {one.label for one in operations}
    answered = {label for label, statuses in sent.items() if any(status < 300 for status in statuses)}
    assert len(answered) > len(operations) / 2, sorted(sent.keys() - answered)


def exercise(client, strategy, known, ends, sent):
    count = 0

    @SETTINGS
    @given(case=strategy)
    def check(case):
        nonlocal count
        if time.monotonic() > ends:
            raise EnoughError
        count += 1
        if count % 4 and isinstance(case.path_parameters, dict):
            case.path_parameters.update({k: v for k, v in known.items() if k in case.path_parameters})
        if case.operation.method.upper() == "DELETE" and case.path_parameters:
            case.path_parameters.update({k: str(uuid.uuid4()) for k in case.path_parameters})
        bounded(case.body)
        response = case.call(base_url=str(client.base_url), timeout=20)
        sent.setdefault(case.operation.label, []).append(response.status_code)
        case.validate_response(response, checks=CHECKS)

    check()


async def test_the_description_names_its_statuses_and_parameters(description):
    _, found = description
    runs = found["paths"]["/threads/{thread_id}/runs"]["get"]
    assert {p["name"] for p in runs["parameters"]} == {"thread_id", "limit", "offset", "status", "select"}
    assert {"200", "401", "404", "422"} <= runs["responses"].keys()
    assert "default" not in runs["responses"]
    assert all(urlsplit(path).path == path for path in found["paths"])
    assert not any("2XX" in one["responses"] for operations in found["paths"].values() for one in operations.values())
    assert json.dumps(found).count('"$ref": "#/components/schemas/Error"') > 100


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/threads/count", {"metadata": {"a": "\0"}}),
        ("POST", "/threads/search", {"metadata": {"\0": 1}}),
        ("POST", "/assistants", {"graph_id": "line", "name": "a\0b"}),
        ("POST", "/assistants/search", {"name": "\0"}),
        ("POST", "/runs/batch", [{"assistant_id": "line", "metadata": {"a": ["\0"]}}]),
        ("PUT", "/store/items", {"namespace": ["a"], "key": "\0", "value": {}}),
        ("GET", "/store/items?namespace=a&key=%00", None),
        ("POST", "/assistants/53778ae5-00c5-4355-922c-4dca06d7293f/latest", {"version": 2**80}),
        ("GET", "/threads/53778ae5-00c5-4355-922c-4dca06d7293f/history?limit=%C2%B2", None),
        ("POST", "/threads", {"ttl": {"ttl": 1e300}}),
    ],
)
async def test_what_databases_cant_hold_is_refused(http, method, path, body):
    answer = await http.request(method, path, json=body)
    assert answer.status_code == 422, answer.text


async def test_what_is_a_graphs_own_may_have_any_character(http):
    body = {"assistant_id": "line", "input": {"items": ["a\0b"]}}
    assert (await http.post("/runs/wait", json=body)).json()["items"] == ["a\0b", "first", "second"]


async def test_the_description_has_a_form_for_every_answer(description):
    _, found = description
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            done = {status: told for status, told in operation["responses"].items() if status.startswith("2")}
            assert done or (path.startswith("/mcp") and method != "post"), (method, path)
            for status, told in done.items():
                assert ("content" in told) == (
                    status != "204" and (path, status) not in {("/mcp", "202"), ("/mcp/", "202")}
                )
    run = found["components"]["schemas"]["Run"]
    assert run["additionalProperties"] is False
    assert set(run["required"]) == set(run["properties"])
    listed = found["paths"]["/threads/{thread_id}/runs"]["get"]["responses"]["200"]["content"]["application/json"]
    assert listed["schema"]["items"] == {"$ref": "#/components/schemas/SomeRun"}
    assert found["components"]["schemas"]["SomeRun"].get("required", []) == []


def test_an_answer_that_isnt_described_is_noticed():
    from tests.server.conforming import check

    def answer(body, path="/threads/count", status=200):
        return httpx.Response(status, json=body, request=httpx.Request("POST", f"http://x{path}"))

    check(answer(3))
    for wrong in (answer("3"), answer(3, status=201), answer([{"no": "run"}], "/runs/batch"), answer({}, "/threads")):
        with pytest.raises((AssertionError, jsonschema_rs.ValidationError)):
            check(wrong)
