"""The console's pure modules, as a browser runs them."""

from __future__ import annotations

from itertools import pairwise

import pytest


@pytest.fixture(scope="module")
def call(browser, server):
    """Call a function of a module with values; a list of names and indexes picks a part of what it returns."""
    page = browser.new_page()
    page.goto(server.url)

    def called(module: str, name: str, *arguments):
        return page.evaluate(
            "async ([module, name, given]) => (await import(`/console/${module}.js`))[name](...given)",
            [module, name, list(arguments)],
        )

    called.page = page
    yield called
    page.close()


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, [("changed", ["a"], 1, 2)]),
        ({"a": 1}, {"b": 1}, [("removed", ["a"], 1, None), ("added", ["b"], None, 1)]),
        ([1, 2], [1, 2, 3], [("added", [2], None, 3)]),
        ([1, 2, 3], [2, 3], [("removed", [0], 1, None)]),
        ([1, 2, 3], [1, 9, 3], [("changed", [1], 2, 9)]),
        ([{"x": 1}, 5], [{"x": 2}, 5], [("changed", [0, "x"], 1, 2)]),
        ({"a": None}, {"a": {}}, [("changed", ["a"], None, {})]),
        ({"a": []}, {"a": {}}, [("changed", ["a"], [], {})]),
        ({"__proto__x": {"a": 1}}, {"__proto__x": {"a": 2}}, [("changed", ["__proto__x", "a"], 1, 2)]),
        ([], [[]], [("added", [0], None, [])]),
        ("a", "b", [("changed", [], "a", "b")]),
    ],
)
def test_differences(call, before, after, changes):
    found = call("diff", "diff", before, after)
    assert [(one["kind"], one["path"], one.get("before"), one.get("after")) for one in found] == changes


def test_differences_of_lines(call):
    found = call("diff", "lineDiff", "a\nb\nc\nd", "a\nc\nx\nd")
    assert found == [["=", "a"], ["-", "b"], ["=", "c"], ["+", "x"], ["=", "d"]]
    assert call("diff", "lineDiff", "one", "two") is None
    assert call("diff", "lineDiff", "x\n" * 1000, "y") is None
    assert call("diff", "pathText", ["messages", 3, "content"]) == "messages[3].content"


def laid_out(call, names, pairs):
    nodes = [{"id": name, "label": name, "isEnd": False} for name in names]
    edges = [{"source": a, "target": b} for a, b in pairs]
    return call("layout", "layout", nodes, edges)


GRAPHS = {
    "chain": ("abcd", ["ab", "bc", "cd"]),
    "diamond": ("abcd", ["ab", "ac", "bd", "cd", "ad"]),
    "loop": ("abc", ["ab", "bc", "cb", "ba"]),
    "itself": ("ab", ["ab", "bb"]),
    "apart": ("abcd", ["ab"]),
    "only a loop": ("abc", ["ab", "bc", "ca"]),
    "wide": ("a" + "bcdefghijk" + "z", [f"a{n}" for n in "bcdefghijk"] + [f"{n}z" for n in "bcdefghijk"]),
    "crossing": ("abcdef", ["ad", "bc", "ce", "df", "af", "be", "cf", "de"]),
    "unknown": ("ab", ["ab", "ax", "xb"]),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_nodes_of_a_drawing_keep_apart_and_edges_end_at_them(call, name):
    names, pairs = GRAPHS[name]
    found = laid_out(call, names, pairs)
    boxes = found["nodes"]
    for n, one in enumerate(boxes):
        assert one["width"] / 2 <= one["x"] <= found["width"] - one["width"] / 2
        assert one["height"] / 2 <= one["y"] <= found["height"] - one["height"] / 2
        for other in boxes[n + 1 :]:
            apart = abs(one["x"] - other["x"]) >= (one["width"] + other["width"]) / 2
            assert apart or abs(one["y"] - other["y"]) >= one["height"], (one, other)
    by_id = {one["id"]: one for one in boxes}
    known = [pair for pair in pairs if set(pair) <= set(names)]
    assert [edge["source"] + edge["target"] for edge in found["edges"]] == known
    for edge in found["edges"]:
        for place, (x, y) in ((edge["source"], edge["points"][0]), (edge["target"], edge["points"][-1])):
            box = by_id[place]
            assert abs(x - box["x"]) <= box["width"] / 2
            assert abs(y - box["y"]) <= box["height"] / 2


def test_edges_lead_down_where_there_is_no_loop(call):
    found = laid_out(call, *GRAPHS["diamond"])
    y = {one["id"]: one["y"] for one in found["nodes"]}
    assert y["a"] < y["b"] == y["c"] < y["d"]


def test_a_large_graph_is_laid_out_at_once(call):
    names = [f"node {n}" for n in range(300)]
    pairs = [(names[n], names[(n * 7 + 3) % 300]) for n in range(300)] + list(pairwise(names))
    nodes = [{"id": name, "label": name, "isEnd": False} for name in names]
    edges = [{"source": a, "target": b} for a, b in pairs]
    found = call("layout", "layout", nodes, edges)
    assert len(found["nodes"]) == 300


SCHEMA = {
    "$defs": {"Point": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}},
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "n": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "on": {"type": "boolean"},
        "color": {"enum": ["red", 3, None]},
        "at": {"$ref": "#/$defs/Point"},
        "points": {"type": "array", "items": {"$ref": "#/$defs/Point"}},
        "tags": {"type": "array", "items": {"type": "string"}},
        "messages": {"type": "array", "items": {"type": "object", "additionalProperties": True}},
        "any": {},
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
        "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "null_or": {"type": ["string", "null"]},
        "chat": {"type": "array", "items": {"oneOf": [{"type": "object", "properties": {"content": {}, "type": {}}}]}},
    },
}


def test_kinds_of_fields(call):
    kinds = {}
    for name, schema in SCHEMA["properties"].items():
        plain = call("schema", "resolved", schema, SCHEMA)["schema"]
        kinds[name] = call("schema", "fieldKind", plain, SCHEMA, name)
    assert kinds == {
        "name": "text", "n": "number", "on": "yesno", "color": "choice", "at": "group", "points": "list",
        "tags": "list", "messages": "messages", "any": "json", "map": "json", "either": "json", "null_or": "text",
        "chat": "messages",
    }  # fmt: skip
    assert call("schema", "resolved", SCHEMA["properties"]["n"], SCHEMA)["isOptional"] is True


def test_a_schema_that_contains_itself_ends(call):
    schema = {"$defs": {"Tree": {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}, "v": {"type": "string"}}}}, "$ref": "#/$defs/Tree"}  # fmt: skip  # noqa: E501
    code = """async schema => { const { SchemaForm } = await import('/console/form.js');
        const form = new SchemaForm({ schema, value: { kids: [{ kids: [{ v: 'x' }] }] } });
        return form.value; }"""
    assert call.page.evaluate(code, schema) == {"kids": [{"kids": [{"v": "x"}]}]}
    endless = {"$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}, "$ref": "#/$defs/A"}
    assert call.page.evaluate(code, endless) == {"kids": [{"kids": [{"v": "x"}]}]}


def test_a_form_gives_back_what_it_was_given(call):
    value = {
        "name": "n", "n": 3, "on": False, "color": None, "at": {"x": 1.5}, "points": [{"x": 1}, {"x": 2}],
        "tags": ["a", ""], "messages": [{"role": "user", "content": "hi", "id": "7"}], "any": [1, {"a": None}],
        "map": {"k": "v"}, "either": "x", "null_or": "y", "chat": [{"type": "human", "content": [{"text": "z"}]}],
        "beside": True,
    }  # fmt: skip
    code = """async ([schema, value]) => { const { SchemaForm } = await import('/console/form.js');
        return new SchemaForm({ schema, value }).value; }"""
    assert call.page.evaluate(code, [SCHEMA, value]) == value
    assert call.page.evaluate(code, [SCHEMA, {}]) == {}


STREAM = (
    "event: one\r\ndata: {}\r\nid: 1\r\n\r\n"
    ": heartbeat\r\n\r\n"
    "data: a\ndata: b\n\n"
    "event:two\rdata:c\r\r"
    "event: nothing\n\n"
    "data: é €\nid: 5-3\n\n"
    "data: cut"
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_read_however_their_bytes_come(call, size):
    code = """async ([text, size]) => { const { parsed } = await import('/console/sse.js');
        const bytes = new TextEncoder().encode(text); let at = 0;
        const stream = new ReadableStream({ pull(c) { if (at >= bytes.length) return c.close();
            c.enqueue(bytes.slice(at, at += size)); } });
        const found = []; for await (const e of parsed(stream)) found.push([e.event, e.data, e.id]); return found; }"""
    assert call.page.evaluate(code, [STREAM, size]) == [
        ["one", "{}", "1"], ["message", "a\nb", None], ["two", "c", None], ["message", "é €", "5-3"],
    ]  # fmt: skip


def test_lanes_of_a_history(call):
    def states(*pairs):
        return [{"checkpoint": {"checkpoint_id": id_}, "parent_checkpoint": parent and {"checkpoint_id": parent}} for id_, parent in pairs]  # fmt: skip  # noqa: E501

    chain = call("timeline", "lanes", states("cb", "ba", ("a", None)))
    assert [lane["column"] for lane in chain] == [0, 0, 0]
    assert [lane["above"] for lane in chain] == [False, True, True]
    forked = call("timeline", "lanes", states("eb", "dc", "cb", "ba", ("a", None)))
    assert [lane["column"] for lane in forked] == [0, 1, 1, 0, 0]
    assert [lane["joins"] for lane in forked] == [[], [], [], [1], []]
    assert forked[1]["through"] == [0]


@pytest.mark.parametrize(
    ("text", "wanted", "words"),
    [
        ("", {}, []),
        ("status:busy graph:line", {"status": "busy", "metadata": {"graph_id": "line"}}, []),
        ("status:odd", {"metadata": {"status": "odd"}}, []),
        ("n:5 on:true who:Ada", {"metadata": {"n": 5, "on": True, "who": "Ada"}}, []),
        ("Some Words", {}, ["Some", "Words"]),
        ("00000000-0000-4000-8000-000000000000", {"ids": ["00000000-0000-4000-8000-000000000000"]}, []),
    ],
)
def test_searches(call, text, wanted, words):
    assert call("threads", "readSearch", text) == {"wanted": wanted, "words": words}


def test_words_of_times_and_ids(call):
    now = 1_795_555_584_000
    assert call("format", "ago", "2026-11-24T21:26:24Z", now) == "now"
    assert call("format", "ago", "2026-11-24T20:26:00Z", now) == "1 h"
    assert call("format", "span", "2026-11-24T20:26:00Z", "2026-11-24T20:26:01.500Z") == "1.5 s"
    assert call("format", "short", "1f1e84db-332b-6649-b531-796cd9beb103") == "332b-6649"
    assert call("format", "short", "eb004ac5-b821-4046-a156-92f0b03b7773") == "eb004ac5"
    assert call("format", "counted", ["a", "b", "a", "__start__"]) == "a \u00d72, b, start"
    assert call("answer", "readAnswer", '{"a": 1}') == {"a": 1}
    assert call("answer", "readAnswer", "  ") is None
    assert call("answer", "readAnswer", "no json") == "no json"


def test_elements_refuse_what_could_run(call):
    code = """async ([name, value]) => { const { h } = await import('/console/dom.js');
        try { h('a', { [name]: value }, 'x'); return 'made'; } catch { return 'refused'; } }"""
    for name, value in (("onclick", "x"), ("style", "x"), ("srcdoc", "x"), ("src", "x"), ("href", "javascript:1"),
                        ("href", "https://elsewhere"), ("HREF", "javascript:1")):  # fmt: skip
        assert call.page.evaluate(code, [name, value]) == "refused", (name, value)
    assert call.page.evaluate(code, ["href", "#/threads"]) == "made"
