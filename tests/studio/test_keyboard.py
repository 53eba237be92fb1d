"""The same by the keyboard alone: no test here may use the mouse, or put the focus anywhere itself."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect
from tests.studio.helping import checkpoints, state_of, status, thread_in, thread_of

MOST_STEPS = 120


def name_of_focus(page: Page) -> str:
    return page.evaluate(
        """() => { const e = document.activeElement; const label = e.labels?.[0]?.textContent;
        return (e.getAttribute('aria-label') || label || e.textContent || '').trim(); }"""
    )


def tab_to(page: Page, name: str) -> None:
    """Press Tab until what has the focus has a name."""
    seen = []
    for _ in range(MOST_STEPS):
        page.keyboard.press("Tab")
        seen.append(name_of_focus(page))
        if seen[-1] == name or (name.endswith("*") and seen[-1].startswith(name[:-1])):
            return
    raise AssertionError(f"Tab never comes to {name!r}, only to {seen}")


def choose_graph(page: Page, graph: str) -> None:
    expect(page.get_by_role("button", name="Start run")).to_be_enabled()
    tab_to(page, "Graph")
    page.keyboard.type(graph)
    expect(page.get_by_role("img", name=re.compile("Graph with"))).to_be_visible()
    expect(page.get_by_role("button", name="Start run")).to_be_enabled()


def write_json(page: Page, text: str, label: str = "Input as JSON") -> None:
    tab_to(page, label)
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(text)


def test_the_focus_can_be_seen_everywhere(page):
    expect(page.get_by_role("button", name="Start run")).to_be_enabled()
    for _ in range(25):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement !== document.body"):  # after the last comes the browser itself
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", name_of_focus(page)


def test_skips_to_the_content(page):
    page.keyboard.press("Tab")
    assert name_of_focus(page) == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_starts_answers_and_ends(page, http):
    choose_graph(page, "line")
    write_json(page, '{"ask": ["go on?"]}')
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("region", name="Questions")).to_be_visible()
    thread = thread_in(page)
    tab_to(page, "Answer")
    page.keyboard.insert_text("true")
    page.keyboard.press("Control+Enter")
    expect(status(page)).to_have_text("idle")
    assert state_of(http, thread)["values"]["items"] == ["first", True, "second"]


def test_fills_in_the_form_and_starts_with_the_button(page):
    choose_graph(page, "chat")
    tab_to(page, "Message")
    page.keyboard.type("by hand")
    tab_to(page, "Start run")
    page.keyboard.press("Space")
    expect(page.locator(".message.assistant")).to_contain_text("you said by hand")


def test_goes_through_threads_checkpoints_and_tabs(page, http):
    thread = thread_of(http, "line", input={"items": ["begin"]})
    page.keyboard.press("/")
    page.keyboard.type(thread)
    expect(page.locator(".thread-row")).to_have_count(1)
    tab_to(page, "line*")
    page.keyboard.press("Enter")
    expect(checkpoints(page)).to_have_count(4)
    page.keyboard.press("j")
    expect(page.locator(".detail-title")).to_have_text("Step 1")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".detail-title")).to_have_text("Step 0")
    page.keyboard.press("k")
    expect(page.locator(".detail-title")).to_have_text("Step 1")
    tab_to(page, "State")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".change.added")).to_contain_text("first")


def test_forks_edits_and_replays(page, server, http):
    thread = thread_of(http, "line", input={"items": ["begin"]})
    page.goto(f"{server.url}/#/threads/{thread}")
    expect(checkpoints(page)).to_have_count(4)
    page.keyboard.press("j")
    tab_to(page, "Fork from here")
    page.keyboard.press("Enter")
    write_json(page, '{"items": ["aside"]}', "Update as JSON")
    page.keyboard.press("Control+Enter")
    expect(checkpoints(page)).to_have_count(5)
    tab_to(page, "Continue")
    page.keyboard.press("Enter")
    expect(checkpoints(page)).to_have_count(6)
    expect(status(page)).to_have_text("idle")
    assert state_of(http, thread)["values"]["items"] == ["begin", "first", "aside", "second"]
    tab_to(page, "Edit state")
    page.keyboard.press("Enter")
    write_json(page, '{"log": "noted"}', "Update as JSON")
    page.keyboard.press("Control+Enter")
    expect(checkpoints(page)).to_have_count(7)
    assert state_of(http, thread)["values"]["log"] == "noted"


@pytest.mark.parametrize("way", ["key", "button"])
def test_cancels(page, way):
    choose_graph(page, "line")
    write_json(page, '{"sleep": 60}')
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("button", name="Cancel run")).to_be_visible()
    if way == "key":
        page.keyboard.press("c")
    else:
        tab_to(page, "Cancel run")
        page.keyboard.press("Enter")
    expect(status(page)).to_have_text("interrupted")


def test_dialogs_close_and_give_the_focus_back(page, server, http):
    thread = thread_of(http, "line", input={"items": []})
    page.goto(f"{server.url}/#/threads/{thread}")
    expect(checkpoints(page)).to_have_count(4)
    tab_to(page, "Delete")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("can't be undone")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert name_of_focus(page) == "Delete"
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Search threads")
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    expect(page.get_by_role("dialog")).to_contain_text("Run line on this thread")
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    expect(page.get_by_role("heading", name="New run")).to_be_visible()


def test_keys_are_letters_where_somebody_writes(page):
    page.keyboard.press("/")
    page.keyboard.type("njk?c/")
    assert page.get_by_role("searchbox").input_value() == "njk?c/"
    expect(page.get_by_role("dialog")).to_have_count(0)
