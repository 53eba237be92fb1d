"""A real Chromium, and a server whose console it opens. No page may fail, be refused something, or ask another host."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright
from tests.server.serving import GRAPHS, PROJECT, Served

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
_REFUSED = "Failed to load resource: the server responded with a status of"
_AWAY = ("Failed to load resource: net::ERR_", "net::ERR_INCOMPLETE_CHUNKED_ENCODING")
"""What a browser says in its log of a server that refuses, or is away; what the page says of it is tested."""

# A busy machine is not a bug.
expect.set_options(timeout=20_000)
_SLOWEST = 180


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_SLOWEST))


@pytest.fixture(scope="module")  # no longer: while it lives, a loop runs in this thread, and asyncio.run is refused
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as made:
        yield made


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        if os.environ.get("PERDURE_CI"):
            raise FileNotFoundError("no Chromium: apt-get install chromium")
        pytest.skip("no Chromium: apt-get install chromium")
    made = playwright.chromium.launch(executable_path=found, args=_ARGUMENTS)
    yield made
    made.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server for tests that don't hurt it."""
    folder = tmp_path_factory.mktemp("console")
    (folder / "odd.py").write_text(Path(__file__).with_name("odd.py").read_text())
    (folder / "theirs.py").write_text(PROJECT.with_name("theirs.py").read_text())
    odd = {name: f"./odd.py:{name}" for name in ("several", "form", "long", "slow_words")}
    config = {"graphs": {**GRAPHS, **odd, "theirs": "./theirs.py:graph"}}
    with Served(folder, f"sqlite:///{folder / 'server.db'}", config=config) as served:
        yield served


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open pages; when the test is over, none of them may have failed."""
    contexts, problems = [], []

    def opened(url: str, *, away: bool = False, **options) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        context.set_default_timeout(30_000)
        contexts.append(context)
        page = context.new_page()
        watch(page, url, problems, away=away)
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert problems == []


def watch(page: Page, url: str, problems: list[str], *, away: bool) -> None:
    origin = "/".join(url.split("/")[:3])

    def heard(message) -> None:
        expected = (_REFUSED, *_AWAY) if away else (_REFUSED,)
        if message.type in ("error", "warning") and not any(text in message.text for text in expected):
            problems.append(message.text)

    page.on("console", heard)
    page.on("pageerror", lambda error: problems.append(f"{error}"))
    page.on("request", lambda request: request.url.startswith((origin, "data:")) or problems.append(request.url))
    page.on("dialog", lambda shown: (problems.append(f"a script ran: {shown.message}"), shown.dismiss()))


@pytest.fixture
def page(server: Served, open_page: Callable[..., Page]) -> Page:
    return open_page(server.url)


@pytest.fixture
def http(server: Served) -> Iterator[httpx.Client]:
    """Makes what the console is to show."""
    with httpx.Client(base_url=server.url, timeout=30) as made:
        yield made
