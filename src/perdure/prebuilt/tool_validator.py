"""`ValidationNode`: checks the arguments of tool calls without calling anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from langchain_core.messages import AIMessage, ToolCall, ToolMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool, create_schema_from_function
from pydantic import BaseModel, ValidationError

from perdure.errors import InvalidUpdateError, UsageError

__all__ = ["ValidationNode"]


def _told(error: BaseException, _call: ToolCall, _schema: type[BaseModel]) -> str:
    return f"{error!r}\n\nMend what is wrong and answer again."


class ValidationNode(Runnable[Any, Any]):
    """A node that checks the tool calls of the last message against schemas.

    Each call is answered by a message: the arguments as JSON, or what is wrong with them, then with
    `additional_kwargs["is_error"]`.

    Args:
        schemas: Pydantic models, tools, or functions whose parameters are the schema.
        format_error: Makes the text of an error, of the error, the call and the schema.
        name: The node's name.
        tags: Accepted for compatibility; nothing is called that could carry them.

    Raises:
        UsageError: A tool has no schema.
    """

    def __init__(
        self,
        schemas: Sequence[BaseTool | type[BaseModel] | Callable[..., Any]],
        *,
        format_error: Callable[[BaseException, ToolCall, type[BaseModel]], str] | None = None,
        name: str = "validation",
        tags: list[str] | None = None,
    ) -> None:
        self.name = name
        self.tags = tags
        self._format = format_error or _told
        self.schemas_by_name: dict[str, type[BaseModel]] = dict(map(_named, schemas))

    def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        """Check the calls."""
        is_list = isinstance(input, list)
        messages = input if is_list else input.get("messages") if isinstance(input, dict) else input.messages
        if not messages or not isinstance(messages[-1], AIMessage):
            raise InvalidUpdateError("the last message isn't a model's, so there are no tool calls to check")
        answers = [self._check(call) for call in messages[-1].tool_calls]
        return answers if is_list else {"messages": answers}

    async def ainvoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        """Check the calls; nothing is waited for."""
        return self.invoke(input, config, **kwargs)

    def _check(self, call: ToolCall) -> ToolMessage:
        schema = self.schemas_by_name.get(call["name"])
        if schema is None:
            known = ", ".join(self.schemas_by_name) or "none"
            text = f"Error: there is no schema named {call['name']!r}; there are: {known}."
            return _error(text, call)
        try:
            content = schema.model_validate(call["args"]).model_dump_json()
        except ValidationError as error:
            return _error(self._format(error, call, schema), call)
        return ToolMessage(content, name=call["name"], tool_call_id=call["id"])


def _error(text: str, call: ToolCall) -> ToolMessage:
    return ToolMessage(text, name=call["name"], tool_call_id=call["id"], additional_kwargs={"is_error": True})


def _named(schema: Any) -> tuple[str, type[BaseModel]]:
    if isinstance(schema, BaseTool):
        if not (isinstance(schema.args_schema, type) and issubclass(schema.args_schema, BaseModel)):
            raise UsageError(f"the tool {schema.name!r} has no Pydantic schema to check its calls against")
        return schema.name, schema.args_schema
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return schema.__name__, schema
    if callable(schema):
        return schema.__name__, cast("type[BaseModel]", create_schema_from_function("Validation", schema))
    raise UsageError(f"a schema is a Pydantic model, a tool or a function, not {schema!r}")
