"""What a person does in the console, with the mouse."""

from __future__ import annotations

import re

from playwright.sync_api import expect
from tests.studio.helping import checkpoints, start_run, state_of, status, thread_of


def test_starts_a_run_from_the_form_and_shows_what_it_did(page, http):
    page.get_by_role("combobox", name="Graph").select_option(label="chat")
    page.get_by_label("Message", exact=True).fill("hello")
    expect(page.get_by_label("Input as JSON")).to_have_value(re.compile(r'"content": "hello"'))
    page.get_by_role("button", name="Start run").click()
    expect(page.locator(".message.assistant")).to_contain_text("you said hello")
    expect(status(page)).to_have_text("idle")
    expect(checkpoints(page)).to_have_count(3)
    expect(page.locator(".event.mark").last).to_contain_text("run ended")
    expect(page.locator('.node[data-node="answer"]')).to_have_class(re.compile(r"\bdone\b"))


def test_form_and_json_follow_each_other(page):
    page.get_by_role("combobox", name="Graph").select_option(label="line")
    page.get_by_label("sleep").fill("0.25")
    json = page.get_by_label("Input as JSON")
    expect(json).to_have_value(re.compile(r'"sleep": 0.25'))
    json.fill('{"fail": "no", "steps": 3, "beside": [1]}')
    expect(page.get_by_label("fail")).to_have_value("no")
    expect(page.get_by_label("sleep")).to_have_value("")
    page.get_by_label("steps").fill("4")
    expect(json).to_have_value(re.compile(r'"beside": \[\s+1\s+\]'))
    expect(json).to_have_value(re.compile(r'"steps": 4'))


def test_nothing_can_be_filled_in_before_the_form_is_that_of_the_chosen_graph(page):
    start = page.get_by_role("button", name="Start run")
    expect(start).to_be_enabled()
    held = []

    def hold(route):
        held.append(route)

    page.route("**/schemas", hold)
    page.get_by_role("combobox", name="Graph").select_option(label="line")
    expect(start).to_be_disabled()
    expect(page.get_by_label("Input as JSON")).to_have_count(0)
    held[0].continue_()
    expect(start).to_be_enabled()
    expect(page.get_by_label("sleep")).to_be_visible()


def test_json_that_is_none_is_said_and_nothing_is_started(page):
    page.get_by_label("Input as JSON").fill('{"items": [}')
    expect(page.get_by_text("Not JSON:")).to_be_visible()
    page.get_by_role("button", name="Start run").click()
    expect(page.get_by_role("alert")).to_contain_text("That is not JSON")
    assert "/threads/" not in page.url


def test_shows_the_live_position_while_a_run_goes_on(page):
    start_run(page, "line", '{"sleep": 2}')
    expect(page.locator('.node[data-node="second"]')).to_have_class(re.compile(r"\brunning\b"))
    expect(page.locator('.node[data-node="first"]')).to_have_class(re.compile(r"\bdone\b"))
    expect(status(page)).to_have_text("busy")
    expect(page.locator(".event.note")).to_contain_text("at: ")
    expect(status(page)).to_have_text("idle")
    expect(page.locator(".node.running")).to_have_count(0)


def test_answers_an_interrupt(page, http):
    thread = start_run(page, "line", '{"ask": [{"really": "yes or no"}]}')
    card = page.get_by_role("region", name="Questions")
    expect(card).to_contain_text("yes or no")
    expect(page.locator('.node[data-node="second"]')).to_have_class(re.compile(r"\bwaiting\b"))
    card.get_by_label("Answer").fill('{"said": true}')
    expect(card).to_contain_text("Sent as JSON")
    card.get_by_role("button", name="Send the answer").click()
    expect(status(page)).to_have_text("idle")
    expect(card).to_have_count(0)
    assert state_of(http, thread)["values"]["items"] == ["first", {"said": True}, "second"]


def test_an_answer_that_is_no_json_is_sent_as_text(page, http):
    thread = start_run(page, "line", '{"ask": ["who?"]}')
    page.get_by_label("Answer").fill("a person")
    expect(page.get_by_text("Sent as text")).to_be_visible()
    page.get_by_role("button", name="Send the answer").click()
    expect(status(page)).to_have_text("idle")
    assert state_of(http, thread)["values"]["items"] == ["first", "a person", "second"]


def test_shows_state_and_changes_of_each_checkpoint(page, server, http):
    thread = thread_of(http, "line", input={"items": ["begin"]})
    page.goto(f"{server.url}/#/threads/{thread}")
    expect(checkpoints(page)).to_have_count(4)
    checkpoints(page).nth(1).click()
    expect(page.locator(".detail-title")).to_have_text("Step 1")
    page.get_by_role("tab", name="Changes").click()
    expect(page.locator(".change")).to_have_count(1)
    expect(page.locator(".change.added")).to_contain_text("items[1]")
    expect(page.locator(".change .new")).to_contain_text("first")
    page.get_by_role("tab", name="State").click()
    expect(page.locator('[data-channel="items"]')).not_to_contain_text("second")
    page.reload()
    expect(page.locator(".detail-title")).to_have_text("Step 1")
    page.get_by_role("tab", name="Tasks").click()
    expect(page.locator(".task")).to_contain_text("second")


def test_edits_the_state(page, server, http):
    thread = thread_of(http, "line", input={"items": ["begin"]})
    page.goto(f"{server.url}/#/threads/{thread}")
    page.get_by_role("button", name="Edit state").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("log").fill("edited by hand")
    dialog.get_by_label("As if written by").select_option("first")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    expect(checkpoints(page).first).to_contain_text("edited")
    state = state_of(http, thread)
    assert state["values"]["log"] == "edited by hand"
    assert state["next"] == ["second"]
    assert state["values"]["items"] == ["begin", "first", "second"]
    page.get_by_role("button", name="Continue").click()
    expect(checkpoints(page).first).to_contain_text("second")
    expect(status(page)).to_have_text("idle")


def test_an_edit_that_the_server_refuses_is_told_in_the_dialog(page, server, http):
    thread = thread_of(http, "line", input={"items": []})
    page.goto(f"{server.url}/#/threads/{thread}")
    page.get_by_role("button", name="Edit state").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Update as JSON").fill("[1, 2]")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).not_to_be_empty()
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)


def test_forks_and_shows_the_branch(page, server, http):
    thread = thread_of(http, "line", input={"items": ["begin"]})
    page.goto(f"{server.url}/#/threads/{thread}")
    checkpoints(page).nth(1).click()
    page.get_by_role("button", name="Fork from here").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("makes a new branch")
    dialog.get_by_label("Update as JSON").fill('{"items": ["another way"]}')
    dialog.get_by_role("button", name="Make the branch").click()
    expect(checkpoints(page)).to_have_count(5)
    expect(page.locator(".rail").first).to_have_attribute("data-lanes", "2")
    page.get_by_role("button", name="Continue").click()
    expect(checkpoints(page)).to_have_count(6)
    expect(status(page)).to_have_text("idle")
    assert state_of(http, thread)["values"]["items"] == ["begin", "first", "another way", "second"]


def test_replays_from_a_checkpoint(page, server, http):
    thread = thread_of(http, "line", input={"items": ["begin"]})
    page.goto(f"{server.url}/#/threads/{thread}")
    checkpoints(page).nth(2).click()
    page.get_by_role("button", name="Replay from here").click()
    expect(page.locator(".detail-title")).to_have_text("Latest")
    expect(page.locator(".event.mark").last).to_contain_text("run ended")
    expect(page.locator(".event.end")).to_have_text([re.compile("first"), re.compile("second")])
    assert state_of(http, thread)["values"]["items"] == ["begin", "first", "second"]
    page.get_by_role("tab", name="Runs").click()
    expect(page.locator(".run .badge.success")).to_have_count(2)


def test_cancels_a_run(page, http):
    thread = start_run(page, "line", '{"sleep": 60}')
    page.get_by_role("button", name="Cancel run").click()
    expect(status(page)).to_have_text("interrupted")
    page.get_by_role("tab", name="Runs").click()
    expect(page.locator(".run .badge")).to_have_text("interrupted")
    assert state_of(http, thread)["next"] == ["second"]


def test_runs_on_a_thread_that_is_there(page, server, http):
    thread = thread_of(http, "chat", input={"messages": [{"role": "user", "content": "one"}]})
    page.goto(f"{server.url}/#/threads/{thread}")
    page.get_by_role("button", name="Run…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Message", exact=True).fill("two")
    dialog.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator(".message.assistant")).to_contain_text("you said two")


def test_a_run_that_fails_says_why(page):
    start_run(page, "line", '{"fail": "the cat ate it"}')
    expect(page.get_by_role("alert")).to_contain_text("ValueError")
    expect(page.get_by_role("alert")).to_contain_text("the cat ate it")
    expect(page.locator('.node[data-node="second"]')).to_have_class(re.compile(r"\bfailed\b"))
    expect(status(page)).to_have_text("error")


def test_pauses_before_each_node_and_goes_on(page):
    page.get_by_role("combobox", name="Graph").select_option(label="line")
    page.get_by_text("Options").click()
    page.get_by_label("Pause before each node").check()
    page.get_by_role("button", name="Start run").click()
    expect(page.locator('.node[data-node="first"]')).to_have_class(re.compile(r"\bnext\b"))
    page.get_by_role("button", name="Continue").click()
    expect(status(page)).to_have_text("idle")


def test_finds_threads(page, server, http):
    wanted = http.post("/threads", json={"metadata": {"customer": "Ada", "n": 5}}).json()["thread_id"]
    other = http.post("/threads", json={"metadata": {"customer": "Eve"}}).json()["thread_id"]
    search = page.get_by_role("searchbox")
    for text in ("customer:Ada", wanted, "ada", "n:5", f"status:idle customer:Ada {wanted[:6]}"):
        search.fill(text)
        expect(page.locator(f'[data-thread="{other}"]')).to_have_count(0)
        expect(page.locator(".thread-row")).to_have_count(1)
        expect(page.locator(f'[data-thread="{wanted}"]')).to_be_visible()
    search.fill("no such thing anywhere")
    expect(page.get_by_text("No thread matches.")).to_be_visible()


def test_copies_and_deletes_a_thread(page, server, http):
    thread = thread_of(http, "line", input={"items": ["begin"]})
    page.goto(f"{server.url}/#/threads/{thread}")
    page.get_by_role("button", name="Copy thread").click()
    expect(page).not_to_have_url(re.compile(thread))
    expect(checkpoints(page)).to_have_count(4)
    copy = page.url.rpartition("/")[2]
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="New run")).to_be_visible()
    assert http.get(f"/threads/{copy}").status_code == 404
    assert http.get(f"/threads/{thread}").status_code == 200


def test_a_thread_that_isnt_there(page, server):
    page.goto(f"{server.url}/#/threads/00000000-0000-4000-8000-000000000000")
    expect(page.get_by_role("heading", name="No such thread")).to_be_visible()


def test_draws_and_follows_a_graph_inside_of_a_graph(page):
    start_run(page, "nested", '{"sleep": 1}')
    expect(page.locator('.node[data-node="inner:second"]')).to_have_class(re.compile(r"\brunning\b"))
    expect(status(page)).to_have_text("idle")


def test_shows_the_state_inside_of_a_task(page):
    start_run(page, "nested", '{"ask": ["inside?"]}')
    expect(page.get_by_role("region", name="Questions")).to_contain_text("inside?")
    page.get_by_role("tab", name="Tasks").click()
    page.get_by_role("button", name="State inside").click()
    expect(page.locator(".task").first).to_contain_text("first")
    page.get_by_label("Answer").fill("yes")
    page.get_by_role("button", name="Send the answer").click()
    expect(status(page)).to_have_text("idle")


def test_a_context_gets_a_form(page):
    page.get_by_role("combobox", name="Graph").select_option(label="greeting")
    expect(page.get_by_text("says hello")).to_be_visible()
    page.get_by_text("Options").click()
    page.get_by_role("textbox", name="name", exact=True).fill("Ada")
    page.get_by_role("button", name="Start run").click()
    expect(page.locator('[data-channel="items"]')).to_contain_text("Ada")


def test_answers_several_questions_at_once(page, http):
    thread = start_run(page, "several", "{}")
    card = page.get_by_role("region", name="Questions")
    expect(card.get_by_role("heading")).to_have_text("The run waits for 3 answers")
    for n, area in enumerate(card.get_by_label("Answer").all()):
        area.fill(f"{n * 10}")
    card.get_by_role("button", name="Send the answers").click()
    expect(status(page)).to_have_text("idle")
    assert sorted(state_of(http, thread)["values"]["answers"]) == [0, 10, 20]


def test_a_question_that_says_what_it_wants_gets_a_form(page, http):
    thread = start_run(page, "form", "{}")
    card = page.get_by_role("region", name="Questions")
    card.get_by_label("choice").select_option("reject")
    card.get_by_label("why").fill("too late")
    card.get_by_role("button", name="Send the answer").click()
    expect(status(page)).to_have_text("idle")
    assert state_of(http, thread)["values"]["answers"] == [{"choice": "reject", "why": "too late"}]


def test_a_long_history_comes_in_pieces(page, server, http):
    thread = thread_of(http, "long", input={"count": 0, "most": 150}, config={"recursion_limit": 200})
    page.goto(f"{server.url}/#/threads/{thread}")
    expect(checkpoints(page)).to_have_count(100)
    page.get_by_role("button", name="Show older").click()
    expect(checkpoints(page)).to_have_count(152)
    expect(page.get_by_role("button", name="Show older")).to_be_hidden()
    expect(checkpoints(page).last).to_contain_text("input")


def test_a_thread_without_a_graph(page, server, http):
    thread = http.post("/threads", json={}).json()["thread_id"]
    page.goto(f"{server.url}/#/threads/{thread}")
    expect(page.get_by_text("No checkpoints yet.")).to_be_visible()
    expect(page.get_by_text("no graph yet")).to_be_visible()
    expect(page.get_by_role("button", name="Run…")).to_have_count(0)


def test_copies_the_whole_id(page, server, http, open_page):
    thread = thread_of(http, "line", input={"items": []})
    page = open_page(f"{server.url}/#/threads/{thread}", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="copy id").click()
    expect(page.get_by_role("status").filter(has_text="clipboard")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == thread


def test_words_of_a_model_come_as_they_are_said(page):
    start_run(page, "slow_words", '{"messages": [{"role": "user", "content": "speak"}]}')
    words = page.locator(".event.words .event-words")
    expect(words).to_have_text(re.compile("^One"))
    assert words.text_content() != "One word after the other."
    expect(words).to_have_text("One word after the other.")
    expect(page.locator(".message.assistant")).to_contain_text("One word after the other.")
    expect(words).to_have_count(1)


def test_a_graph_of_langgraph_is_looked_into_as_well(page, http):
    thread = start_run(page, "theirs", '{"items": [], "messages": []}')
    card = page.get_by_role("region", name="Questions")
    expect(card).to_contain_text("sure?")
    expect(page.locator('.node[data-node="ask"]')).to_have_class(re.compile(r"\bwaiting\b"))
    expect(page.locator(".event.end").filter(has_text="work")).to_contain_text("\u00d73")
    card.get_by_label("Answer").fill("quite")
    card.get_by_role("button", name="Send the answer").click()
    expect(page.locator(".message.assistant")).to_contain_text("done")
    assert state_of(http, thread)["values"]["items"] == [0, 10, 20, "quite"]
    checkpoints(page).nth(1).click()
    page.get_by_role("button", name="Replay from here").click()
    expect(page.get_by_role("region", name="Questions")).to_contain_text("sure?")
