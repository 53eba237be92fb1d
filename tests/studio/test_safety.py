"""Values of strangers, and of any size: nothing in them is run, and the page stays usable; keys stay in their tab."""

from __future__ import annotations

import time

import httpx
import pytest
from playwright.sync_api import expect
from tests.server.serving import Served
from tests.studio.helping import checkpoints, state_of, status, thread_of

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "<svg/onload=alert(3)>",
    "javascript:alert(4)",
    '"><iframe srcdoc="<script>alert(5)</script>">',
    "{{constructor.constructor('alert(6)')()}}",
    "\u202e right to left \u0007 \x00 \U0001f600",
]


def test_markup_in_values_is_text(page, server, http):
    hostile = {text: text for text in HOSTILE if "\x00" not in text}
    message = [{"role": text, "content": text, "name": text} for text in hostile]
    thread = thread_of(http, "line", input={"items": [*HOSTILE[:-1], hostile, message], "ask": [hostile]})
    http.patch(f"/threads/{thread}", json={"metadata": {HOSTILE[0]: HOSTILE[1], "customer": HOSTILE[2]}})
    page.goto(f"{server.url}/#/threads/{thread}")
    expect(page.get_by_role("region", name="Questions")).to_contain_text(HOSTILE[0])
    for tab in ("Changes", "Tasks", "State"):
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_role("tabpanel").last).not_to_be_empty()
    for _ in range(4):
        page.evaluate("document.querySelectorAll('.detail details').forEach(one => one.open = true)")
        page.wait_for_timeout(100)
    page.get_by_role("button", name="Edit state").click()
    page.get_by_role("button", name="items", exact=True).click()
    assert page.locator("main img, main iframe, main script, dialog img, dialog script").count() == 0
    assert page.evaluate("document.querySelectorAll('[onerror], [onload], [srcdoc]').length") == 0


def test_markup_in_errors_and_events_is_text(page, server, http):
    thread = thread_of(http, "line", input={"items": []})
    page.goto(f"{server.url}/#/threads/{thread}")
    expect(checkpoints(page)).to_have_count(4)
    http.post(f"/threads/{thread}/runs/wait", json={
        "assistant_id": "line", "input": {"fail": HOSTILE[0], "items": [HOSTILE[1]]},
        "stream_mode": ["updates", "tasks", "custom", "values"],
    })  # fmt: skip
    expect(page.get_by_role("alert")).to_contain_text(HOSTILE[0])
    expect(page.locator(".event.bad").last).to_contain_text(HOSTILE[0])
    assert page.locator("main img, main iframe, main script").count() == 0


def test_the_browser_itself_refuses_markup_and_foreign_scripts(browser, server):
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.url)
    markup = """() => { try { document.createElement('div').innerHTML = '<b>x</b>'; return 'allowed'; }
        catch { return 'refused'; } }"""
    assert page.evaluate(markup) == "refused"
    inline = """() => { const s = document.createElement('script'); try { s.text = 'window.ran = 1'; }
        catch { return 'refused'; } document.body.append(s); return String(window.ran); }"""
    assert page.evaluate(inline) in ("refused", "undefined")
    context.close()


def test_ten_thousand_messages_and_long_texts(page, server, http):
    long = "long " * 200_000
    messages = [{"role": "user" if n % 2 else "assistant", "content": f"message {n}"} for n in range(10_000)]
    values = {"messages": messages}
    steps = [{"updates": [{"values": values, "as_node": "answer"}]}]
    made = http.post("/threads", json={"metadata": {"graph_id": "chat"}, "supersteps": steps}).raise_for_status()
    thread = made.json()["thread_id"]
    began = time.monotonic()
    page.goto(f"{server.url}/#/threads/{thread}")
    expect(page.locator(".message").last).to_contain_text("message 9999")
    assert time.monotonic() - began < 20
    expect(page.locator(".message").last).to_be_in_viewport()
    assert page.locator(".message").count() == 50
    page.get_by_role("button", name="Show earlier messages").click()
    assert page.locator(".message").count() == 100
    assert page.evaluate("document.querySelectorAll('*').length") < 3000
    page.get_by_role("tab", name="Changes").click()
    expect(page.locator(".change")).not_to_have_count(0)
    assert page.locator(".change").count() <= 100

    thread = thread_of(http, "line", input={"items": [long, {"deep": [[[[[[long]]]]]]}]})
    page.goto(f"{server.url}/#/threads/{thread}")
    expect(page.get_by_text("more characters").first).to_be_visible()
    assert page.evaluate("document.body.textContent.length") < 60_000
    page.get_by_text("more characters").first.click()
    assert page.evaluate("document.body.textContent.length") < 200_000
    assert page.evaluate("document.querySelector('main').scrollWidth <= document.querySelector('main').clientWidth")


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    """A server that asks for a key."""
    folder = tmp_path_factory.mktemp("locked")
    environment = {"PERDURE_API_KEYS": "ada:open-sesame"}
    with Served(folder, f"sqlite:///{folder / 'server.db'}", environment=environment) as served:
        yield served


def test_asks_for_a_key_and_keeps_it_in_the_tab(locked, open_page):
    page = open_page(locked.url)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("API key")
    dialog.get_by_label("API key").fill("wrong")
    dialog.get_by_role("button", name="Use it").click()
    expect(dialog).to_contain_text("doesn't know this key")
    dialog.get_by_label("API key").fill("open-sesame")
    sent = []
    page.on("request", lambda request: sent.append((request.url, request.headers.get("x-api-key"))))
    page.keyboard.press("Enter")
    page.get_by_role("combobox", name="Graph").select_option(label="line")
    page.get_by_label("Input as JSON").fill('{"ask": ["ok?"]}')
    page.get_by_role("button", name="Start run").click()
    expect(status(page)).to_have_text("interrupted")
    assert [url for url, key in sent if key != "open-sesame" and "/console/" not in url] == []
    assert any(url.endswith("/stream") for url, _ in sent)
    assert not [url for url, _ in sent if "sesame" in url]
    assert "sesame" not in page.url
    assert page.evaluate("JSON.stringify(localStorage) + document.cookie").find("sesame") < 0
    page.reload()
    expect(status(page)).to_have_text("interrupted")
    other = page.context.new_page()
    other.goto(locked.url)
    expect(other.get_by_role("dialog")).to_contain_text("API key")


def test_who_has_no_key_is_asked_once_and_can_ask_back(locked, open_page):
    page = open_page(locked.url)
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="An API key is needed")).to_be_visible()
    page.wait_for_timeout(5000)
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("banner").get_by_role("button", name="API key").click()
    page.get_by_label("API key").last.fill("open-sesame")
    page.get_by_role("button", name="Use it").click()
    expect(page.get_by_role("button", name="Start run")).to_be_enabled()


def test_the_console_itself_tells_nothing_without_a_key(locked):
    assert httpx.get(f"{locked.url}/").status_code == 200
    assert httpx.get(f"{locked.url}/console/app.js").status_code == 200
    assert httpx.post(f"{locked.url}/threads/search", json={}).status_code == 401


def test_an_odd_graph_doesnt_hurt(page, server, http):
    made = http.post("/assistants", json={"graph_id": "line", "name": HOSTILE[0], "description": HOSTILE[1]}).json()
    page.reload()
    page.get_by_role("combobox", name="Graph").select_option(value=made["assistant_id"])
    expect(page.get_by_text(HOSTILE[1])).to_be_visible()
    page.get_by_label("Input as JSON").fill("{}")
    page.get_by_role("button", name="Start run").click()
    expect(status(page)).to_have_text("idle")
    thread = page.url.rpartition("/")[2]
    assert state_of(http, thread)["values"]["items"] == ["first", "second"]
