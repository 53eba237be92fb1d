"""What tests of the console share: what there is to show, and where a page is."""

from __future__ import annotations

import httpx
from playwright.sync_api import Page


def thread_of(http: httpx.Client, graph: str, **body) -> str:
    """Make a thread, and run a graph on it to the end; return the thread's id."""
    made = http.post("/threads", json={"metadata": {"graph_id": graph}}).raise_for_status().json()
    thread: str = made["thread_id"]
    if body:
        http.post(f"/threads/{thread}/runs/wait", json={"assistant_id": graph, **body}).raise_for_status()
    return thread


def state_of(http: httpx.Client, thread: str) -> dict:
    return http.get(f"/threads/{thread}/state").raise_for_status().json()


def thread_in(page: Page) -> str:
    """Return the id of the thread that a page shows."""
    page.wait_for_url("**/#/threads/*")
    return page.url.rpartition("#/threads/")[2].partition("/")[0]


def start_run(page: Page, graph: str, value: str) -> str:
    """Start a run with an input of JSON; return the thread's id."""
    page.get_by_role("combobox", name="Graph").select_option(label=graph)
    page.get_by_label("Input as JSON").fill(value)
    page.get_by_role("button", name="Start run").click()
    return thread_in(page)


def checkpoints(page: Page):
    """The rows of the timeline, newest first."""
    return page.locator("button.checkpoint")


def status(page: Page):
    """The thread's status, as the page tells it."""
    return page.locator(".thread-head .badge")
