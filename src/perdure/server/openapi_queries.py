"""The query parameters of routes, as /openapi.json describes them: by method and path, the schema of each."""

from __future__ import annotations

from typing import Any, Final

Query = dict[str, dict[str, Any]]

_FLAG: Final = {"type": "boolean"}
_WORD: Final = {"type": "string"}
_WORDS: Final = {"type": "array", "items": {"type": "string"}}
_ANY_NUMBER: Final = {"type": "integer", "minimum": 0}
_PAGE: Final[Query] = {"limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 10}}
_STATUS: Final = {"enum": ["pending", "running", "error", "success", "timeout", "interrupted"]}
_LISTEN: Final[Query] = {"cancel_on_disconnect": _FLAG}
_STATE: Final[Query] = {"subgraphs": _FLAG, "select": _WORDS}
_RUN: Final = "/threads/{thread_id}/runs/{run_id}"

QUERIES: Final[dict[tuple[str, str], Query]] = {
    ("GET", "/ok"): {"check_db": _FLAG},
    ("GET", "/metrics"): {"format": {"enum": ["json", "prometheus"]}},
    ("DELETE", "/assistants/{assistant_id}"): {"delete_threads": _FLAG},
    ("GET", "/assistants/{assistant_id}/graph"): {"xray": {"anyOf": [_FLAG, _ANY_NUMBER]}},
    ("GET", "/assistants/{assistant_id}/subgraphs"): {"recurse": _FLAG},
    ("GET", "/assistants/{assistant_id}/subgraphs/{namespace}"): {"recurse": _FLAG},
    ("GET", "/threads/{thread_id}"): {"include": {"type": "array", "items": {"enum": ["ttl"]}}},
    ("GET", "/threads/{thread_id}/runs"): {**_PAGE, "offset": _ANY_NUMBER, "status": _STATUS, "select": _WORDS},
    ("GET", f"{_RUN}/join"): _LISTEN,
    ("GET", f"{_RUN}/stream"): {**_LISTEN, "stream_mode": _WORDS},
    ("GET", "/runs/{run_id}/stream"): {**_LISTEN, "stream_mode": _WORDS},
    ("POST", f"{_RUN}/cancel"): {"wait": _FLAG, "action": {"enum": ["interrupt", "rollback"]}},
    ("GET", "/threads/{thread_id}/stream"): {
        "stream_modes": {"type": "array", "items": {"enum": ["run_modes", "lifecycle", "state_update"]}}
    },
    ("GET", "/threads/{thread_id}/state"): _STATE,
    ("GET", "/threads/{thread_id}/state/{checkpoint_id}"): _STATE,
    ("GET", "/threads/{thread_id}/history"): {**_PAGE, "before": _WORD},
    ("GET", "/store/items"): {"key": _WORD, "namespace": _WORDS, "refresh_ttl": _FLAG},
}
