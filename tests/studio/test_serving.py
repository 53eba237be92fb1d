"""How the console is sent: types, policy, caching, where it is, and where it isn't."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tests.server.serving import Served

import perdure.studio
from perdure.studio import routes

FILES = Path(perdure.studio.__file__).with_name("files")
MOST_LINES = 330

OWN_APP = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

async def home(request):
    return PlainTextResponse("my own page")

app = Starlette(routes=[Route("/", home)])
"""


@pytest.fixture
def client() -> TestClient:
    return TestClient(Starlette(routes=routes(at_root=True)), follow_redirects=False)


@pytest.mark.parametrize("place", ["/", "/console"])
def test_the_page_comes_with_a_strict_policy(client, place):
    answer = client.get(place)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_each_file_has_its_type_and_is_sent_again_only_if_it_has_changed(client):
    kinds = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
    for path in FILES.iterdir():
        first = client.get(f"/console/{path.name}")
        assert first.content == path.read_bytes()
        assert first.headers["content-type"].startswith(kinds[path.suffix])
        assert first.headers["cache-control"] == "no-cache"
        tag = first.headers["etag"]
        for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            again = client.get(f"/console/{path.name}", headers={"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert client.get(f"/console/{path.name}", headers={"If-None-Match": '"other"'}).status_code == 200
    assert len({client.get(f"/console/{path.name}").headers["etag"] for path in FILES.iterdir()}) > 20


@pytest.mark.parametrize("name", ["nothing.js", "..%2f__init__.py", "__init__.py", "%2e%2e", "index.html%00"])
def test_nothing_else_is_sent(client, name):
    assert client.get(f"/console/{name}").status_code == 404


def test_only_reading_is_answered(client):
    assert client.head("/").status_code == 200
    assert client.post("/").status_code == 405


def test_nothing_is_loaded_from_elsewhere_and_nothing_is_inline():
    for path in FILES.iterdir():
        text = path.read_text()
        addresses = set(re.findall(r"https?://[^\s\"'`)]+", text))
        assert addresses <= {"http://www.w3.org/2000/svg"}, path
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            path
        )
    page = (FILES / "index.html").read_text()
    assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*src=)", page)


def test_modules_are_small():
    long = {path.name: n for path in FILES.glob("*.js") if (n := len(path.read_text().splitlines())) > MOST_LINES}
    assert long == {}


def served(tmp_path, **http) -> Served:
    (tmp_path / "own.py").write_text(OWN_APP)
    database = f"sqlite:///{tmp_path / 'server.db'}"
    return Served(tmp_path, database, config={"http": http}, prefix=http.get("mount_prefix", ""))


def test_it_can_be_left_out(tmp_path):
    with served(tmp_path, disable_ui=True) as server:
        assert httpx.get(f"{server.url}/").status_code == 404
        assert httpx.get(f"{server.url}/console").status_code == 404


def test_an_application_of_ones_own_keeps_the_root(tmp_path, open_page):
    with served(tmp_path, app="./own.py:app") as server:
        assert httpx.get(f"{server.url}/").text == "my own page"
        page = open_page(f"{server.url}/console")
        page.get_by_role("button", name="Start run").wait_for()


def test_behind_a_prefix(tmp_path, open_page):
    with served(tmp_path, mount_prefix="/below") as server:
        page = open_page(f"{server.url}/below/")
        page.get_by_label("Input as JSON").fill("{}")
        page.get_by_role("combobox", name="Graph").select_option(label="line")
        page.get_by_label("Input as JSON").fill("{}")
        page.get_by_role("button", name="Start run").click()
        page.locator(".thread-head .badge.idle").wait_for()
        page.get_by_role("link", name="API", exact=True).click()
        page.get_by_role("heading", name="perdure: API").wait_for()
