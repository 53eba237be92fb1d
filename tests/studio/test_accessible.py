"""What axe-core knows of the rules of accessibility (WCAG 2.2, A and AA) holds for each view, light and dark."""

from __future__ import annotations

from importlib.resources import files

import pytest
from playwright.sync_api import Page, expect
from tests.studio.helping import checkpoints, start_run, status

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
RUN = """async () => (await axe.run(document, { resultTypes: ['violations'] })).violations.map(
    one => `${one.id}: ${one.help}: ` + one.nodes.map(node => node.html.slice(0, 160)).join(' | '))"""


def breaches(page: Page) -> list[str]:
    page.evaluate(AXE)
    return page.evaluate(RUN)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_each_view_follows_the_rules(server, open_page, scheme, width):
    # The policy of the page would refuse axe itself.
    size = {"width": width, "height": 900}
    page = open_page(server.url, color_scheme=scheme, viewport=size, bypass_csp=True, reduced_motion="reduce")
    expect(page.get_by_role("button", name="Start run")).to_be_enabled()
    assert breaches(page) == []
    start_run(page, "line", '{"ask": [{"really": true}], "items": ["text", 5, null, {"a": [true, {"b": "c"}]}]}')
    expect(page.get_by_role("region", name="Questions")).to_be_visible()
    expect(checkpoints(page)).to_have_count(3)
    assert breaches(page) == []
    for tab in ("Changes", "Tasks", "Runs"):
        page.get_by_role("tab", name=tab).click()
        assert breaches(page) == []
    page.get_by_role("button", name="Edit state").click()
    assert breaches(page) == []
    page.keyboard.press("Escape")
    page.get_by_label("Answer").fill("yes")
    page.get_by_role("button", name="Send the answer").click()
    expect(status(page)).to_have_text("idle")
    page.get_by_role("button", name="Delete").click()
    assert breaches(page) == []


def test_a_failed_run_a_conversation_and_a_missing_thread_follow_them_too(server, open_page):
    page = open_page(server.url, bypass_csp=True)
    start_run(page, "line", '{"fail": "no"}')
    expect(page.get_by_role("alert")).to_be_visible()
    assert breaches(page) == []
    page.goto(f"{server.url}/#/")
    start_run(page, "chat", '{"messages": [{"role": "user", "content": "hello"}]}')
    expect(page.locator(".message.assistant")).to_be_visible()
    assert breaches(page) == []
    page.goto(f"{server.url}/#/threads/00000000-0000-4000-8000-000000000000")
    expect(page.get_by_role("heading", name="No such thread")).to_be_visible()
    assert breaches(page) == []


def test_a_breach_would_be_seen(server, open_page):
    page = open_page(server.url, bypass_csp=True)
    page.evaluate("document.body.append(document.createElement('input'))")
    assert "label" in {breach.partition(":")[0] for breach in breaches(page)}
