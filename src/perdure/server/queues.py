"""Queues: named groups of runs with limits, as the configuration says; which run belongs to which, and to which key."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from perdure.server.database.queues import Limit
from perdure.server.encoding import encode_text
from perdure.server.errors import InvalidRequestError

if TYPE_CHECKING:
    from perdure.server.config_file import QueueSpec

DEFAULT: Final = "default"

_LONGEST_KEY: Final = 200
"""Characters of a key; of a longer one, and of one that databases can't hold, its hash is taken."""


class Queues:
    """The queues by name; `default`, which has the runs that belong to no other, is always there.

    Args:
        specs: What the configuration says.
    """

    def __init__(self, specs: Mapping[str, QueueSpec]) -> None:
        self._specs = dict(specs)
        self._of_graph = {graph: name for name, spec in specs.items() for graph in spec.graphs}
        self.limits = [limit for name in sorted(specs) if (limit := _limit(name, specs[name])) is not None]
        self._limited = {limit.queue for limit in self.limits}

    @property
    def names(self) -> list[str]:
        """Their names."""
        return sorted({DEFAULT, *self._specs})

    def choose(self, asked: str | None, graph_id: str) -> str:
        """Return a run's queue: the one that was asked for, or the graph's.

        Raises:
            InvalidRequestError: There is no such queue.
        """
        if asked is None:
            return self._of_graph.get(graph_id, DEFAULT)
        if asked != DEFAULT and asked not in self._specs:
            raise InvalidRequestError(f"there is no queue {asked!r}", hint=f"there are {', '.join(self.names)}")
        return asked

    def is_limited(self, queue: str) -> bool:
        """Tell whether a queue's runs have to be claimed one after the other."""
        return queue in self._limited

    def key_of(
        self, queue: str, metadata: Mapping[str, Any], kwargs: Mapping[str, Any], caller: Mapping[str, Any] | None
    ) -> str | None:
        """Return what a run's limits a key go by, as text; None: it has no key, and no such limit."""
        spec = self._specs.get(queue)
        if spec is None or spec.per_key is None:
            return None
        configurable, user = kwargs["config"]["configurable"], (caller or {}).get("identity")
        found: Any = {
            "metadata": metadata, "configurable": configurable, "context": kwargs.get("context"), "user": user
        }  # fmt: skip
        for part in spec.per_key.key.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        if found is None:
            return None
        text = found if isinstance(found, str) else encode_text(found)
        if len(text) <= _LONGEST_KEY and "\0" not in text:
            return text
        return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _limit(name: str, spec: QueueSpec) -> Limit | None:
    per_key = spec.per_key
    if spec.max_running is None and spec.rate is None and per_key is None:
        return None
    own = (spec.max_running, spec.rate, spec.burst)
    return Limit(
        name, *own, *((None, None, 1) if per_key is None else (per_key.max_running, per_key.rate, per_key.burst))
    )
