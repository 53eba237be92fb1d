"""Light and dark, and at the width of a phone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.studio.helping import checkpoints, thread_of

import perdure.studio

THEME = (Path(perdure.studio.__file__).with_name("files") / "theme.css").read_text()


def background(page) -> int:
    """How light the page is, of 255."""
    found = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(map(int, re.findall(r"\d+", found)[:3])) // 3


@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
def test_follows_the_system(server, open_page, scheme, is_dark):
    page = open_page(server.url, color_scheme=scheme)
    assert (background(page) < 60) is is_dark
    page.emulate_media(color_scheme="light" if is_dark else "dark")
    assert (background(page) < 60) is not is_dark


def test_a_person_can_say_otherwise_and_it_is_remembered(server, open_page):
    page = open_page(server.url, color_scheme="dark")
    switch = page.get_by_role("button", name="Colours")
    switch.click()
    expect(switch).to_have_text("◐ Light")
    assert background(page) > 200
    page.reload()
    assert background(page) > 200
    switch.click()
    expect(switch).to_have_text("◐ Dark")
    page.emulate_media(color_scheme="light")
    assert background(page) < 60
    switch.click()
    expect(switch).to_have_text("◐ Auto")
    assert background(page) > 200


def palette(dark: bool) -> dict[str, str]:
    pairs = re.findall(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", THEME)
    return {name: colors[dark] for name, *colors in pairs}


def luminance(color: str) -> float:
    parts = [int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_can_be_read(dark):
    """WCAG 2.2, 1.4.3: a contrast of 4.5 at least."""
    colors = palette(dark)
    pairs = [
        (ink, on)
        for ink in ("ink", "muted", "accent", "good", "warn", "bad", "busy")
        for on in ("panel", "bg", "raised")
    ]
    pairs += [(name, f"{name}-soft") for name in ("good", "warn", "bad", "busy", "accent")]
    pairs += [("accent-ink", "accent"), ("ink", "good-soft"), ("ink", "bad-soft"), ("muted", "accent-soft")]
    for ink, on in pairs:
        light, deep = sorted((luminance(colors[ink]), luminance(colors[on])), reverse=True)
        assert (light + 0.05) / (deep + 0.05) >= 4.5, (ink, on)


@pytest.mark.parametrize("width", [360, 500, 800, 1100, 1920])
def test_nothing_is_wider_than_the_window(server, open_page, http, width):
    items = ["word " * 200, "x" * 500, {"k" * 80: "v" * 300}]
    thread = thread_of(http, "line", input={"items": items, "ask": [{"q" * 60: "w" * 400}]})
    page = open_page(f"{server.url}/#/threads/{thread}", viewport={"width": width, "height": 740})
    expect(checkpoints(page).first).to_be_visible()
    expect(page.locator('[data-channel="items"]')).to_be_visible()
    for tab in ("Changes", "Tasks", "State", "Runs", "Checkpoints"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(150)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("[...document.querySelectorAll('main, .panel')].filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.className)") == []  # fmt: skip  # noqa: E501
    page.get_by_role("button", name="Edit state").click()
    box = page.get_by_role("dialog").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width


def test_on_a_phone_the_threads_are_a_page_of_their_own(server, open_page, http):
    thread = thread_of(http, "line", input={"items": []})
    page = open_page(f"{server.url}/#/threads/{thread}", viewport={"width": 360, "height": 740})
    expect(page.get_by_role("searchbox")).to_be_hidden()
    page.get_by_role("link", name="Threads").click()
    expect(page.get_by_role("searchbox")).to_be_visible()
    page.locator(f'[data-thread="{thread}"]').click()
    expect(checkpoints(page)).to_have_count(4)
    expect(page.get_by_role("searchbox")).to_be_hidden()


def test_motion_rests_for_those_who_asked(server, open_page):
    page = open_page(server.url, reduced_motion="reduce")
    page.evaluate("document.body.append(Object.assign(document.createElement('span'), {className: 'badge busy'}))")
    assert (
        page.evaluate("getComputedStyle(document.querySelector('.node rect') ?? document.body).animationName") == "none"
    )
