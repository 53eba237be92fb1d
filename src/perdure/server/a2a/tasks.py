"""Runs as tasks: their states, and their last messages as artifacts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from perdure.server.a2a.forms import Form, Message, Part
from perdure.server.encoding import asked, encode_text
from perdure.server.shapes import shown_time

SUBMITTED: Final = "submitted"
WORKING: Final = "working"
_ENDS: Final = {"success": "completed", "error": "failed", "timeout": "failed", "interrupted": "canceled"}


def text_of(message: Message) -> str:
    """Return a message's text; data as JSON."""
    return "\n".join(found for part in message.parts if (found := _text(part)) is not None)


def _text(part: Part) -> str | None:
    if part.text is not None:
        return part.text
    return None if part.data is None else encode_text(part.data)


def input_message(message: Message) -> dict[str, Any]:
    """Return a message as a graph's state takes it: of text, or of content blocks if there are files."""
    files = [found for part in message.parts if (found := _file(part)) is not None]
    text = text_of(message)
    content: Any = text if not files else [*([{"type": "text", "text": text}] if text else ()), *files]
    return {"role": "user", "content": content, "id": message.message_id}


def _file(part: Part) -> dict[str, Any] | None:
    given = part.file or {}
    data, url = given.get("bytes") or part.raw, given.get("uri") or part.url
    if data is None and url is None:
        return None
    kind = given.get("mimeType") or part.media_type or "application/octet-stream"
    place = {"url": url} if data is None else {"base64": data}
    family = kind.partition("/")[0]
    return {"type": family if family in ("image", "audio", "video") else "file", "mime_type": kind, **place}


def task(form: Form, run: Mapping[str, Any], state: str, text: str | None = None) -> dict[str, Any]:
    """Return a run as a task.

    Args:
        form: The version of the protocol.
        run: The run.
        state: In words of 0.3.
        text: What there is to say about that.
    """
    status: dict[str, Any] = {"state": form.state(state), "timestamp": shown_time(run["updated_at"])}
    if text is not None:
        about = {"messageId": f"{run['run_id']}-{state}", "parts": [form.text(text)]}
        place = {"taskId": run["run_id"], "contextId": run["thread_id"]}
        status["message"] = form.agents({**about, **place})
    return form.task({"id": run["run_id"], "contextId": run["thread_id"], "status": status})


def ended(form: Form, run: Mapping[str, Any], output: Any) -> dict[str, Any]:
    """Return a run that has ended as a task, with what it left behind as an artifact."""
    if isinstance(output, dict) and (error := output.get("__error__")):
        return task(form, run, "failed", f"{error['error']}: {error['message']}")
    questions = output.get("__interrupt__") if isinstance(output, dict) else None
    if questions and run["status"] == "success":
        asks = [one["value"] if isinstance(one["value"], str) else encode_text(one["value"]) for one in questions]
        return task(form, run, "input-required", "\n".join(asks))
    found = task(form, run, _ENDS.get(run["status"], WORKING))
    if run["status"] == "success" and (answer := _answer(output)) is not None:
        id_, text = answer
        found["artifacts"] = [{"artifactId": id_, "name": "answer", "parts": [form.text(text)]}]
    return found


def _answer(output: Any) -> tuple[str, str] | None:
    """Return the id and the text of an agent's last message."""
    messages = output.get("messages") if isinstance(output, dict) else None
    for message in reversed(messages or []):
        if isinstance(message, dict) and _is_agents(message):
            return str(message.get("id") or "answer"), content_text(message.get("content"))
    return None


def _is_agents(message: Mapping[str, Any]) -> bool:
    return str(message.get("type") or message.get("role")) in ("ai", "assistant", "AIMessageChunk")


def content_text(content: Any) -> str:
    """Return the text in a message's content."""
    if isinstance(content, str):
        return content
    return "".join(one.get("text") or "" for one in content or () if isinstance(one, dict))


def output_of_state(state: Any) -> Any:
    """Return a state's values with its open questions."""
    if not state.interrupts or not isinstance(state.values, dict):
        return state.values
    return {**state.values, "__interrupt__": [asked(question) for question in state.interrupts]}


def status_update(run: Mapping[str, Any], status: Any) -> dict[str, Any]:
    """Return that a task's state has changed."""
    return {"taskId": run["run_id"], "contextId": run["thread_id"], "status": status}


class Pieces:
    """Tells an agent's messages as artifacts that grow.

    Args:
        form: The version of the protocol.
        run: The run.
    """

    def __init__(self, form: Form, run: Mapping[str, Any]) -> None:
        self._form = form
        self._place = {"taskId": run["run_id"], "contextId": run["thread_id"]}
        self._told: dict[str, str] = {}

    def of(self, message: Mapping[str, Any], metadata: Any) -> Iterator[dict[str, Any]]:
        """Yield what a piece of a message adds."""
        text = content_text(message.get("content"))
        if text and _is_agents(message):
            yield self._update(str(message.get("id") or "answer"), text)

    def rest(self, whole: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield what the finished task has and wasn't told."""
        for artifact in whole.get("artifacts", ()):
            text, told = artifact["parts"][0]["text"], self._told.get(artifact["artifactId"], "")
            if text.startswith(told) and text != told:
                yield self._update(artifact["artifactId"], text[len(told) :])

    def _update(self, id_: str, text: str) -> dict[str, Any]:
        artifact = {"artifactId": id_, "name": "answer", "parts": [self._form.text(text)]}
        update = {**self._place, "artifact": artifact, "append": id_ in self._told, "lastChunk": False}
        self._told[id_] = self._told.get(id_, "") + text
        return update
