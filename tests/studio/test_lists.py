"""All threads, all runs, all checkpoints: found and paged through, by the mouse and by the keyboard alone."""

from __future__ import annotations

import re
import sqlite3
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import pytest
from playwright.sync_api import expect
from tests.servers.proxy import Proxy
from tests.studio.helping import checkpoints, thread_of
from tests.studio.test_keyboard import name_of_focus, tab_to


def rows(page):
    return page.locator(".all-runs tbody tr")


def href_of_focus(page):
    return page.evaluate("document.activeElement.getAttribute('href')")


@pytest.fixture(scope="module")
def mark(server):
    """A word that the metadata of 60 threads has, which are older than a thousand others."""
    word = f"Mark{uuid.uuid4().hex[:8]}"
    with httpx.Client(base_url=server.url, timeout=60) as http:
        for n in range(60):
            http.post("/threads", json={"metadata": {"note": f"of {word}", "n": n}}).raise_for_status()
    # A thousand requests would take ten seconds; what counts here is that the rows are there.
    row = "SELECT ?, 'idle', '{}', '{}', unixepoch() + 60, unixepoch() + 60, unixepoch() + 60, 0"
    columns = "thread_id, status, metadata, config, created_at, updated_at, state_updated_at, watched_until"
    with closing(sqlite3.connect(server.database.removeprefix("sqlite:///"), timeout=30)) as connection, connection:
        ids = [(str(uuid.uuid4()),) for _ in range(1010)]
        connection.executemany(f"INSERT INTO perdure_server_threads ({columns}) {row}", ids)
    return word


def test_words_are_looked_for_in_all_threads(page, mark):
    page.get_by_role("searchbox", name=re.compile("Search threads")).fill(f"{mark.lower()} OF")
    expect(page.locator(".thread-row")).to_have_count(50)
    page.locator("#threads").get_by_role("button", name="Show more").click()
    expect(page.locator(".thread-row")).to_have_count(60)
    expect(page.locator("#threads").get_by_role("button", name="Show more")).to_be_hidden()
    page.get_by_role("searchbox", name=re.compile("Search threads")).fill(f"{mark} n:7 status:idle")
    expect(page.locator(".thread-row")).to_have_count(1)
    page.get_by_role("searchbox", name=re.compile("Search threads")).fill(f"{mark} status:error")
    expect(page.locator("#threads .empty")).to_have_text("No thread matches.")


def test_an_answer_that_is_cut_off_is_told_like_a_server_that_is_away(server, open_page, mark):
    with Proxy(("127.0.0.1", int(server.url.rpartition(":")[2]))) as proxy:
        page = open_page(f"http://127.0.0.1:{proxy.address[1]}", away=True)
        expect(page.locator(".thread-row").first).to_be_visible()
        proxy.cut_after(4_000, "to_client")
        page.get_by_role("searchbox", name=re.compile("Search threads")).fill(mark)
        expect(page.get_by_text("doesn't answer").first).to_be_visible()
        page.get_by_role("searchbox", name=re.compile("Search threads")).fill(f"{mark} n:7")
        expect(page.locator(".thread-row")).to_have_count(1)
        assert "cut to_client" in proxy.struck


def test_runs_of_all_threads_by_status(page, http):
    failed = thread_of(http, "loop", input={"items": [], "steps": 1})
    http.post(f"/threads/{failed}/runs/wait", json={"assistant_id": "line", "input": {"fail": "boom-<b>"}})
    waiting = http.post("/threads", json={}).json()["thread_id"]
    body = {"assistant_id": "line", "input": {"items": []}, "after_seconds": 600}
    made = http.post(f"/threads/{waiting}/runs", json=body).json()
    page.get_by_role("link", name="Runs").click()
    expect(rows(page).first).to_contain_text("pending")
    page.get_by_label("Status", exact=True).select_option("error")
    expect(rows(page).first).to_contain_text("ValueError: boom-<b>")
    expect(page.locator(".all-runs .badge:not(.error)")).to_have_count(0)
    page.get_by_label("Status", exact=True).select_option("pending")
    mine = page.locator(f'tr:has([data-run="{made["run_id"]}"])')
    mine.get_by_role("button", name="Cancel").click()
    expect(mine).to_have_count(0)
    page.get_by_label("Status", exact=True).select_option("")
    page.get_by_label("Graph", exact=True).fill("loop")
    expect(rows(page).first).to_contain_text("loop")
    expect(page.locator(".all-runs tbody td:nth-child(3)").filter(has_text="line")).to_have_count(0)
    rows(page).first.get_by_role("link").click()
    page.wait_for_url(f"**/#/threads/{failed}")


def test_runs_come_in_pages(page, http):
    thread = http.post("/threads", json={}).json()["thread_id"]
    body = {"assistant_id": "line", "input": {"items": []}, "after_seconds": 600}
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda _: http.post(f"/threads/{thread}/runs", json=body), range(55))
        assert {answer.status_code for answer in answers} == {200}
    page.get_by_role("link", name="Runs").click()
    page.get_by_label("Status", exact=True).select_option("pending")
    expect(rows(page)).to_have_count(50)
    page.get_by_role("region", name="Runs").get_by_role("button", name="Show more").click()
    expect(rows(page)).to_have_count(55)
    http.request("DELETE", f"/threads/{thread}").raise_for_status()
    expect(page.get_by_role("region", name="Runs").get_by_role("status")).to_have_text("No run is so.")


def test_runs_by_the_keyboard_alone(page, http):
    first, second = (thread_of(http, "line", input={"items": []}) for _ in range(2))
    page.keyboard.press("a")
    expect(rows(page).nth(1)).to_be_visible()
    tab_to(page, "Status")
    page.keyboard.type("success")
    expect(page.locator(".all-runs .badge:not(.success)")).to_have_count(0)
    page.keyboard.press("Tab")
    assert name_of_focus(page) == "Graph"
    with page.expect_response(lambda answer: '"graph_id":"line"' in (answer.request.post_data or "")):
        page.keyboard.type("line")
    expect(page.locator(".all-runs tbody a").first).to_have_attribute("href", f"#/threads/{second}")
    for _ in range(3):  # a browser may stop at what scrolls
        page.keyboard.press("Tab")
        if href_of_focus(page) is not None:
            break
    assert href_of_focus(page) == f"#/threads/{second}"
    page.keyboard.press("ArrowDown")
    assert href_of_focus(page) == f"#/threads/{first}"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/#/threads/{first}")
    page.keyboard.press("a")
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()


def test_a_history_of_more_than_a_thousand_checkpoints_is_read_to_its_beginning(page, server, http):
    config = {"recursion_limit": 2000}
    thread = thread_of(http, "loop", input={"items": [], "steps": 1020}, config=config)
    page.goto(f"{server.url}/#/threads/{thread}")
    expect(checkpoints(page)).to_have_count(100)
    page.get_by_role("button", name="Show older").click()
    expect(checkpoints(page)).to_have_count(1022)
    expect(page.get_by_role("button", name="Show older")).to_be_hidden()
    count = checkpoints(page).count()
    assert count > 1020
    expect(checkpoints(page).last).to_contain_text("input")
    http.post(f"/threads/{thread}/state", json={"values": {"items": ["new"]}, "as_node": "tick"}).raise_for_status()
    expect(checkpoints(page)).to_have_count(count + 1)  # what was read stays, what is new comes before it
    checkpoints(page).last.focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.locator(".detail-title")).to_have_text("Step 0")
