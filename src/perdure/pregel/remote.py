"""A graph on a server, used as if it were here: `RemoteGraph`, over the platform API.

What a request is and what an answer means is said once, without I/O; the two colours only carry it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, cast

from perdure.constants import CONF
from perdure.errors import InvalidConfigError, TransientStorageError, UsageError
from perdure.pregel.calls import merge_configs
from perdure.pregel.remoting import PLACE, Asked, Events, RemoteException, Request, arguments_of, snapshot, value_of
from perdure.types import RunnableConfig, StateSnapshot

if TYPE_CHECKING:
    from perdure.types import All, StreamMode

__all__ = ["RemoteException", "RemoteGraph"]

_KEYS = ("LANGGRAPH_API_KEY", "LANGSMITH_API_KEY", "LANGCHAIN_API_KEY")


class RemoteGraph:
    """A graph that a server runs and stores.

    It has the methods of a compiled graph, in both colours, and can be a node of one: its questions are then the outer
    graph's.

    Args:
        assistant_id: The id of an assistant, or the name of a graph.
        url: The server's address.
        api_key: Sent as `x-api-key`; from `LANGGRAPH_API_KEY` and the like if None.
        headers: Sent with each request.
        client: An `httpx.AsyncClient`, for async calls.
        sync_client: An `httpx.Client`, for sync calls.
        config: Defaults for the config of every call.
        name: The graph's name; the assistant's id by default.
        timeout: Seconds of silence after which the server is taken for dead.
    """

    def __init__(
        self,
        assistant_id: str,
        /,
        *,
        url: str | None = None,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        client: Any = None,
        sync_client: Any = None,
        config: RunnableConfig | None = None,
        name: str | None = None,
        timeout: float = 60.0,
    ) -> None:
        if url is None and client is None and sync_client is None:
            raise InvalidConfigError("a RemoteGraph needs to know its server", hint="url='http://127.0.0.1:2024'")
        self.assistant_id = assistant_id
        self.name = name or assistant_id
        self.config = config
        self._url = url
        self._timeout = timeout
        self._client = client
        self._sync_client = sync_client
        key = api_key or next((os.environ[k] for k in _KEYS if os.environ.get(k)), None)
        self._headers = {**(headers or {}), **({"x-api-key": key.strip()} if key else {})}

    def copy(self, update: dict[str, Any] | None = None) -> Self:
        """Return a copy with some attributes replaced."""
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        new.__dict__.update(update or {})
        return new

    def with_config(self, config: RunnableConfig | None = None, **kwargs: Any) -> Self:
        """Return a copy whose calls have this config by default."""
        return self.copy({"config": merge_configs(self.config, config, cast("RunnableConfig", kwargs))})

    def get_name(self) -> str:
        """Return the graph's name."""
        return self.name

    # -- carrying requests

    def _opened(self) -> Any:
        httpx = _httpx()
        if self._sync_client is not None:
            return _Lent(self._sync_client)
        return httpx.Client(base_url=self._address(), timeout=self._timeout, headers=self._headers)

    def _aopened(self) -> Any:
        httpx = _httpx()
        if self._client is not None:
            return _Lent(self._client)
        return httpx.AsyncClient(base_url=self._address(), timeout=self._timeout, headers=self._headers)

    def _address(self) -> str:
        if self._url is None:
            raise UsageError("this RemoteGraph has a client of the other colour only", hint="give it a url")
        return self._url

    def _ask(self, request: Request) -> Any:
        with self._opened() as client, _mapping_errors():
            answer = client.request(request.method, request.path, **arguments_of(request, self._headers))
            return value_of(answer.status_code, answer.content)

    async def _aask(self, request: Request) -> Any:
        async with self._aopened() as client:
            with _mapping_errors():
                answer = await client.request(request.method, request.path, **arguments_of(request, self._headers))
            return value_of(answer.status_code, answer.content)

    # -- running

    def stream(
        self,
        input: Any,
        config: RunnableConfig | None = None,
        *,
        context: Any = None,
        stream_mode: StreamMode | Sequence[StreamMode] | None = None,
        interrupt_before: All | Sequence[str] | None = None,
        interrupt_after: All | Sequence[str] | None = None,
        subgraphs: bool = False,
        **options: Any,
    ) -> Iterator[Any]:
        """Run the graph and yield what happens; the arguments are those of a compiled graph's `stream`.

        Raises:
            RemoteException: The run failed.
            GraphInterrupt: It stopped to ask, and is a node of another graph.
        """
        asked = Asked(self, config, stream_mode, subgraphs=subgraphs)
        stops = (interrupt_before, interrupt_after)
        request = asked.request(input, context, stops, options)
        with self._opened() as client, _mapping_errors():
            arguments = arguments_of(request, self._headers)
            with client.stream(request.method, request.path, **arguments) as answer:
                if answer.status_code >= 400:
                    value_of(answer.status_code, answer.read())
                parser = Events()
                for line in answer.iter_lines():
                    for event in parser.feed(line):
                        yield from asked.told(event)

    async def astream(
        self,
        input: Any,
        config: RunnableConfig | None = None,
        *,
        context: Any = None,
        stream_mode: StreamMode | Sequence[StreamMode] | None = None,
        interrupt_before: All | Sequence[str] | None = None,
        interrupt_after: All | Sequence[str] | None = None,
        subgraphs: bool = False,
        **options: Any,
    ) -> AsyncIterator[Any]:
        """Do what `stream` does, asynchronously."""
        asked = Asked(self, config, stream_mode, subgraphs=subgraphs)
        stops = (interrupt_before, interrupt_after)
        request = asked.request(input, context, stops, options)
        async with self._aopened() as client:
            with _mapping_errors():
                arguments = arguments_of(request, self._headers)
                async with client.stream(request.method, request.path, **arguments) as answer:
                    if answer.status_code >= 400:
                        value_of(answer.status_code, await answer.aread())
                    parser = Events()
                    async for line in answer.aiter_lines():
                        for event in parser.feed(line):
                            for part in asked.told(event):
                                yield part

    def invoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        """Run the graph to its end or to its next question, and return the output."""
        found: Any = None
        for found in self.stream(input, config, **{"stream_mode": "values", **options}):  # noqa: B007 - the last one
            pass
        return found

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        """Do what `invoke` does, asynchronously."""
        found: Any = None
        async for found in self.astream(input, config, **{"stream_mode": "values", **options}):  # noqa: B007 - the last one
            pass
        return found

    # -- threads

    def get_state(self, config: RunnableConfig, *, subgraphs: bool = False) -> StateSnapshot:
        """Return a thread's state, as it stands or at the checkpoint that the config addresses."""
        return snapshot(self._ask(self._state_request(config, subgraphs=subgraphs)))

    async def aget_state(self, config: RunnableConfig, *, subgraphs: bool = False) -> StateSnapshot:
        """Do what `get_state` does, asynchronously."""
        return snapshot(await self._aask(self._state_request(config, subgraphs=subgraphs)))

    def _state_request(self, config: RunnableConfig, *, subgraphs: bool) -> Request:
        path = f"/threads/{self._thread(config)}/state"
        if place := self._checkpoint(config):
            return Request("POST", f"{path}/checkpoint", {"checkpoint": place, "subgraphs": subgraphs})
        return Request("GET", path, params={"subgraphs": subgraphs})

    def get_state_history(
        self,
        config: RunnableConfig,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[StateSnapshot]:
        """Yield a thread's states, newest first."""
        yield from map(snapshot, self._ask(self._history_request(config, filter, before, limit)))

    async def aget_state_history(
        self,
        config: RunnableConfig,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[StateSnapshot]:
        """Do what `get_state_history` does, asynchronously."""
        for state in await self._aask(self._history_request(config, filter, before, limit)):
            yield snapshot(state)

    def _history_request(self, config: RunnableConfig, filter: Any, before: Any, limit: int | None) -> Request:
        body: dict[str, Any] = {"limit": limit or 1000}
        if filter:
            body["metadata"] = filter
        if before is not None:
            body["before"] = {k: v for k, v in before[CONF].items() if k in PLACE}
        return Request("POST", f"/threads/{self._thread(config)}/history", body)

    def update_state(self, config: RunnableConfig, values: Any, as_node: str | None = None) -> RunnableConfig:
        """Change a thread's state as if a node had written the values, and return the new checkpoint's config."""
        return {CONF: self._ask(self._update_request(config, values, as_node))["checkpoint"]}

    async def aupdate_state(self, config: RunnableConfig, values: Any, as_node: str | None = None) -> RunnableConfig:
        """Do what `update_state` does, asynchronously."""
        return {CONF: (await self._aask(self._update_request(config, values, as_node)))["checkpoint"]}

    def _update_request(self, config: RunnableConfig, values: Any, as_node: str | None) -> Request:
        body = {"values": values, "as_node": as_node, "checkpoint": self._checkpoint(config)}
        given = {k: v for k, v in body.items() if v is not None}
        return Request("POST", f"/threads/{self._thread(config)}/state", given)

    def _thread(self, config: RunnableConfig) -> str:
        thread_id = (merge_configs(self.config, config).get(CONF) or {}).get("thread_id")
        if thread_id is None:
            raise InvalidConfigError(
                "the config names no thread", hint='pass {"configurable": {"thread_id": "..."}}, a UUID'
            )
        return str(thread_id)

    def _checkpoint(self, config: RunnableConfig) -> dict[str, Any] | None:
        conf = merge_configs(self.config, config).get(CONF) or {}
        place = {name: conf[name] for name in PLACE if conf.get(name)}
        return place if place.keys() - {"thread_id"} else None

    # -- the drawing

    def get_graph(self, config: RunnableConfig | None = None, *, xray: int | bool = False) -> dict[str, Any]:
        """Return the graph's nodes and edges as plain data."""
        return dict(self._ask(Request("GET", f"/assistants/{self.assistant_id}/graph", params={"xray": xray})))

    async def aget_graph(self, config: RunnableConfig | None = None, *, xray: int | bool = False) -> dict[str, Any]:
        """Do what `get_graph` does, asynchronously."""
        return dict(await self._aask(Request("GET", f"/assistants/{self.assistant_id}/graph", params={"xray": xray})))


class _Lent:
    """A client that the caller closes."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __enter__(self) -> Any:
        return self._client

    def __exit__(self, *_: object) -> None:
        return None

    async def __aenter__(self) -> Any:
        return self._client

    async def __aexit__(self, *_: object) -> None:
        return None


class _mapping_errors:  # noqa: N801 - reads as a word of a `with` statement
    """Turns errors of the connection into ones of perdure's."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: object) -> None:
        if error is not None and isinstance(error, _httpx().TransportError):
            raise TransientStorageError(
                f"the server can't be reached: {error!r}", hint="is it up? is the url right?"
            ) from error


def _httpx() -> Any:
    try:
        import httpx
    except ImportError as missing:
        raise ModuleNotFoundError(
            "perdure.pregel.remote needs httpx: pip install 'perdure[server]'", name=missing.name
        ) from missing
    return httpx
