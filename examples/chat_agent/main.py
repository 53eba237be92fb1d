"""A chat in the terminal that survives being closed: the same thread goes on where it was.

python main.py --base-url http://127.0.0.1:8080/v1 --model NAME
python main.py --scripted                               without a model
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from graph import Context, graph
from models import Model, OpenAICompatible, Scripted

from perdure.checkpoint.sqlite import SqliteSaver
from perdure.types import Command


def main() -> None:
    """Read a line, answer it, until the input ends."""
    options = _options()
    options.db.parent.mkdir(parents=True, exist_ok=True)
    config = {"configurable": {"thread_id": options.thread}}
    with SqliteSaver.from_conn_string(str(options.db)) as saver:
        agent = graph.compile(checkpointer=saver)
        context = Context(_model(options))
        state = agent.get_state(config)
        print(f"thread {options.thread}: {len(state.values.get('messages', []))} messages so far")
        if state.next:  # killed, or closed at a question
            _answer(agent, None, config, context)
        while line := _read("you: "):
            _answer(agent, {"messages": [{"role": "user", "content": line}]}, config, context)


def _answer(agent: Any, value: Any, config: Any, context: Context) -> None:
    while True:
        for update in agent.stream(value, config, context=context, stream_mode="updates"):
            for node, written in update.items():
                if not node.startswith("__"):
                    _show(written["messages"])
        questions = agent.get_state(config).interrupts
        if not questions:
            return
        value = Command(resume={question.id: _consent(question.value) for question in questions})


def _show(messages: list[dict[str, Any]]) -> None:
    for message in messages:
        for call in message.get("tool_calls") or ():
            print(f"  -> {call['function']['name']} {call['function']['arguments']}")
        if message.get("content"):
            print(f"{message['role']}: {message['content']}")


def _consent(question: dict[str, Any]) -> bool:
    return _read(f"allow {question['allow']} {question['arguments']}? [y/n] ").lower().startswith("y")


def _read(prompt: str) -> str:
    try:
        return input(prompt)
    except EOFError:
        return ""


def _model(options: argparse.Namespace) -> Model:
    if options.scripted:
        call = {"name": "calculate", "arguments": '{"expression": "6 * 7"}'}
        calls = [{"id": "1", "type": "function", "function": call}]
        return Scripted(
            [
                {"role": "assistant", "content": None, "tool_calls": calls},
                {"role": "assistant", "content": "It is 42. That is all I can say."},
            ]
        )
    return OpenAICompatible(options.base_url, options.model, os.environ.get("OPENAI_API_KEY"))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Chat with a model that has tools.")
    parser.add_argument("--base-url", default=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"))
    parser.add_argument("--model", default=os.environ.get("OPENAI_MODEL", "default"))
    parser.add_argument("--scripted", action="store_true", help="answer from a script, without a model")
    parser.add_argument("--thread", default="chat", help="the conversation (default: %(default)s)")
    parser.add_argument("--db", type=Path, default=Path("out/chat.db"), help="SQLite file (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
