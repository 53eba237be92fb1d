"""Messages as content blocks, piece by piece."""

from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage

from perdure.server.protocol.messages import Messages
from perdure.server.protocol.wire import Filter
from perdure.server.streams import Frame

NODE = {"langgraph_node": "n"}


def told(*pieces):
    messages = Messages()
    return [event for piece in pieces for _, event in messages.of((), piece, NODE)], messages


def short(events):
    return [(event["event"], event.get("delta") or event.get("content")) for event in events]


def test_text_grows_and_is_finished_whole():
    events, _ = told(AIMessageChunk("he", id="1"), AIMessageChunk("llo", id="1", chunk_position="last"))
    assert short(events) == [
        ("message-start", None),
        ("content-block-start", {"type": "text", "text": ""}),
        ("content-block-delta", {"type": "text-delta", "text": "he"}),
        ("content-block-delta", {"type": "text-delta", "text": "llo"}),
        ("content-block-finish", {"type": "text", "text": "hello"}),
        ("message-finish", None),
    ]


def test_thoughts_and_text_are_blocks_of_their_own():
    thought = AIMessageChunk([{"type": "reasoning", "reasoning": "hm", "index": 0}], id="1")
    said = AIMessageChunk([{"type": "text", "text": "yes", "index": 1}], id="1", chunk_position="last")
    events, _ = told(thought, said)
    finished = [event["content"] for event in events if event["event"] == "content-block-finish"]
    assert [(block["type"], block.get("reasoning") or block.get("text")) for block in finished] == [
        ("reasoning", "hm"),
        ("text", "yes"),
    ]


def test_arguments_that_are_no_json_make_an_invalid_call():
    piece = {"name": "f", "args": '{"a":', "id": "c", "index": 0}
    events, _ = told(AIMessageChunk("", id="1", tool_call_chunks=[piece], chunk_position="last"))
    [block] = [event["content"] for event in events if event["event"] == "content-block-finish"]
    assert (block["type"], block["name"], block["args"]) == ("invalid_tool_call", "f", '{"a":')
    assert block["error"]


def test_a_last_piece_of_arguments_goes_on_with_its_call():
    first = AIMessageChunk("", id="1", tool_call_chunks=[{"name": "f", "args": '{"a":', "id": "c", "index": 0}])
    more = [{"name": None, "args": " 1}", "id": None, "index": 0}]
    events, _ = told(first, AIMessageChunk("", id="1", tool_call_chunks=more, chunk_position="last"))
    [block] = [event["content"] for event in events if event["event"] == "content-block-finish"]
    assert block == {"type": "tool_call", "id": "c", "name": "f", "args": {"a": 1}}


def test_two_messages_of_one_node_are_told_apart():
    events, _ = told(AIMessageChunk("a", id="1"), AIMessageChunk("b", id="2"), AIMessageChunk("a", id="1"))
    deltas = [(e["message_id"], e["delta"]["text"]) for e in events if e["event"] == "content-block-delta"]
    assert deltas == [("1", "a"), ("2", "b"), ("1", "a")]


def test_whole_messages_are_told_at_once_and_those_of_tools_not():
    for message in (HumanMessage("hi", id="1"), {"role": "user", "content": "hi", "id": "1"}):
        events, _ = told(message)
        assert [events[0]["event"], events[-1]["event"]] == ["message-start", "message-finish"]
        assert events[0]["role"] == "human"
    assert told(ToolMessage("x", tool_call_id="c"))[0] == []
    call = {"name": "f", "args": {"a": 1}, "id": "c", "type": "tool_call"}
    events, _ = told(AIMessage("", id="1", tool_calls=[call]))
    assert [event["content"]["type"] for event in events if "content" in event] == ["tool_call", "tool_call"]


def test_what_is_open_at_the_end_is_finished_or_fails():
    _, messages = told(AIMessageChunk("a", id="1"))
    assert [event["event"] for _, event in messages.close((), "other")] == []
    assert [event["event"] for _, event in messages.close((), "n")] == ["content-block-finish", "message-finish"]
    _, messages = told(AIMessageChunk("a", id="1"))
    assert [event["event"] for *_, event in messages.close_all("boom")] == ["error"]
    assert list(messages.close_all(None)) == []


def test_usage_adds_up():
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3, "input_token_details": {"cache_read": 1}}
    pieces = [AIMessageChunk("a", id="1", usage_metadata=usage) for _ in range(2)]
    _, messages = told(*pieces)
    [finish] = [event for *_, event in messages.close_all(None) if event["event"] == "message-finish"]
    assert finish["usage"] == {
        "input_tokens": 2,
        "output_tokens": 4,
        "total_tokens": 6,
        "input_token_details": {"cache_read": 2},
    }


def test_filters_match_channels_and_namespaces():
    def frame(name):
        return Frame(1, name, b"{}", 0.0)

    custom = Filter(frozenset({"custom:a"}))
    assert custom.wants(frame("~custom:a|x:1"))
    assert not custom.wants(frame("~custom:b"))
    assert not custom.wants(frame("~custom"))
    assert Filter(frozenset({"custom"})).wants(frame("~custom:b"))
    within = Filter(frozenset({"values"}), (("x",),), 0)
    assert within.wants(frame("~values|x:1"))
    assert not within.wants(frame("~values|x:1|y:2"))
    assert not within.wants(frame("~values"))
    assert not Filter(frozenset({"values"}), (("x:2",),)).wants(frame("~values|x:1"))
    assert not Filter(frozenset({"values", "told"})).wants(frame("~told"))
    assert not Filter(frozenset({"values"})).wants(frame("values"))
