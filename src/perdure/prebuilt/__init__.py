"""Ready-made parts for agents that use LangChain's messages, models and tools.

Needs langchain-core: `pip install 'perdure[langchain]'`. The rest of perdure doesn't.
"""

try:
    import langchain_core  # noqa: F401  # looked for before anything is read that needs it
except ImportError as missing:
    raise ImportError(
        "perdure.prebuilt needs langchain-core: pip install 'perdure[langchain]'", name=missing.name
    ) from missing

from perdure.prebuilt.chat_agent_executor import create_react_agent
from perdure.prebuilt.tool_arguments import InjectedState, InjectedStore, ToolRuntime
from perdure.prebuilt.tool_calls import ToolCallTransformer
from perdure.prebuilt.tool_node import ToolNode, tools_condition
from perdure.prebuilt.tool_validator import ValidationNode

__all__ = [
    "InjectedState",
    "InjectedStore",
    "ToolCallTransformer",
    "ToolNode",
    "ToolRuntime",
    "ValidationNode",
    "create_react_agent",
    "tools_condition",
]
