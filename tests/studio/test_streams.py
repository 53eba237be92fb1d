"""What is shown stays true: over a server that goes away, in two tabs, and beside other clients."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import expect
from tests.server.serving import Served
from tests.studio.helping import checkpoints, start_run, state_of, status, thread_of


@pytest.fixture
def own_server(tmp_path):
    """A server that the test may hurt; its runs are taken up soon."""
    environment = {"PERDURE_LEASE_SECONDS": "1", "BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS": "0.2"}
    database = f"sqlite:///{tmp_path / 'own.db'}"
    with Served(tmp_path / "project", database, environment=environment) as served:
        yield served


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_server_that_is_started_again_amid_a_stream(own_server, open_page, how):
    page = open_page(own_server.url, away=True)
    thread = start_run(page, "loop", '{"items": [], "steps": 25, "sleep": 0.2}')
    expect(page.locator(".event.end").first).to_be_visible()
    if how == "stop":
        own_server.stop()
    else:
        own_server.kill()
    expect(page.get_by_text("reconnecting…")).to_be_visible()
    expect(page.get_by_text("server doesn't answer")).to_be_visible(timeout=15_000)
    own_server.start()
    expect(page.get_by_text("server doesn't answer")).to_have_count(0)
    expect(page.locator(".event.mark").last).to_contain_text("run ended", timeout=40_000)
    expect(status(page)).to_have_text("idle")
    with httpx.Client(base_url=own_server.url) as http:
        assert state_of(http, thread)["values"]["items"] == list(range(25))
    expect(page.locator('[data-channel="items"]')).to_contain_text("24")
    # A server that stops gives its runs back: no attempt was lost.
    goes_on = page.locator(".event.mark").filter(has_text="run goes on" if how == "stop" else "run goes on, attempt 2")
    expect(goes_on).to_have_count(1)
    # Each step is told once; of a server that was killed, the last one may have been stored and not yet told.
    assert page.locator(".event.end").count() in ({25} if how == "stop" else {24, 25})


def test_two_tabs_see_the_same(server, open_page):
    first = open_page(server.url)
    second = first.context.new_page()
    start_run(first, "line", '{"sleep": 3, "ask": ["who?"]}')
    second.goto(first.url)
    for page in (first, second):
        expect(page.locator('.node[data-node="second"]')).to_have_class(re.compile(r"\brunning\b"))
    for page in (first, second):
        expect(page.get_by_role("region", name="Questions")).to_be_visible()
    second.get_by_label("Answer").fill("the second tab")
    second.get_by_role("button", name="Send the answer").click()
    for page in (first, second):
        expect(status(page)).to_have_text("idle")
        expect(page.get_by_role("region", name="Questions")).to_have_count(0)
        expect(page.locator('[data-channel="items"]')).to_contain_text("the second tab")


def test_a_question_that_another_tab_has_answered(server, open_page):
    first = open_page(server.url)
    thread = start_run(first, "line", '{"ask": ["one", "two"]}')
    expect(first.get_by_role("region", name="Questions")).to_contain_text("one")
    with httpx.Client(base_url=server.url) as http:
        http.post(f"/threads/{thread}/runs/wait", json={"assistant_id": "line", "command": {"resume": "1"}})
    expect(first.get_by_role("region", name="Questions")).to_contain_text("two")


def test_what_other_clients_do_is_seen(page, server, http):
    thread = thread_of(http, "line", input={"items": []})
    page.goto(f"{server.url}/#/threads/{thread}")
    expect(checkpoints(page)).to_have_count(4)
    http.post(f"/threads/{thread}/state", json={"values": {"log": "from elsewhere"}, "as_node": "second"})
    expect(checkpoints(page)).to_have_count(5)
    http.post(f"/threads/{thread}/runs", json={"assistant_id": "line", "input": {"sleep": 1}})
    expect(page.locator('.node[data-node="second"]')).to_have_class(re.compile(r"\bdone\b"))
    expect(page.locator(".event.mark").last).to_contain_text("run ended")
    expect(checkpoints(page)).to_have_count(9)
    other = thread_of(http, "chat")
    expect(page.locator(f'[data-thread="{other}"]')).to_be_visible(timeout=10_000)
    http.delete(f"/threads/{thread}")
    expect(page.get_by_role("heading", name="No such thread")).to_be_visible(timeout=10_000)


def test_a_chosen_checkpoint_stays_whatever_others_do(page, server, http):
    thread = thread_of(http, "line", input={"items": ["begin"]})
    first = http.post(f"/threads/{thread}/history", json={"limit": 10}).json()[-1]["checkpoint_id"]
    page.goto(f"{server.url}/#/threads/{thread}/{first}")
    expect(page.locator(".detail-title")).to_have_text("Step -1")
    run = {"assistant_id": "line", "input": {"items": ["again"]}, "stream_resumable": True}
    http.post(f"/threads/{thread}/runs/wait", json=run).raise_for_status()
    expect(checkpoints(page)).to_have_count(8)
    expect(page.locator(".detail-title")).to_have_text("Step -1")
    page.reload()
    expect(page.locator(".event.mark").last).to_contain_text("run ended")
    expect(page.locator(".detail-title")).to_have_text("Step -1")
    checkpoints(page).first.click()
    expect(page.locator(".detail-title")).to_have_text("Latest")


HIDE = """hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
document.dispatchEvent(new Event('visibilitychange')); }"""


def test_a_tab_that_nobody_sees_gives_its_connection_back_and_misses_nothing(server, http, open_page):
    thread = thread_of(http, "line", input={"items": ["begin"]})
    page = open_page(server.url)
    page.clock.install()
    page.goto(f"{server.url}/#/threads/{thread}")
    expect(checkpoints(page)).to_have_count(4)
    streams = []
    page.on("requestfailed", lambda request: streams.append(request.url))
    page.evaluate(HIDE, True)
    page.clock.fast_forward(40_000)
    page.wait_for_timeout(500)
    assert [url for url in streams if url.endswith("/stream")] != []
    run = {"assistant_id": "line", "input": {"items": ["unseen"]}, "stream_resumable": True, "stream_mode": ["tasks"]}
    made = http.post(f"/threads/{thread}/runs", json=run).raise_for_status().json()
    http.get(f"/threads/{thread}/runs/{made['run_id']}/join").raise_for_status()
    assert page.locator(".event").count() == 0
    page.evaluate(HIDE, False)
    expect(page.locator(".event.mark").last).to_contain_text("run ended")
    expect(page.locator(".event.end")).to_have_count(2)
