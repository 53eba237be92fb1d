"""A random workload through the SDK against four processes, of which one is killed every few seconds.

`python -m tests.server.storm --seconds 600 --database postgresql://...` runs it for longer than the test does.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import APIConnectionError, InternalServerError
from tests.server.serving import Served

GONE = (httpx.HTTPError, APIConnectionError, InternalServerError, ConnectionError)
"""What a client sees of a server that dies while it answers."""

ENVIRONMENT = {"PERDURE_LEASE_SECONDS": "3", "PERDURE_ATTEMPTS": "100"}
JOBS = 6
PATIENCE = 90.0


class Storm:
    """The processes, and what is done to them.

    Args:
        folder: For their files.
        database: Their database.
        seed: Of all that is random.
    """

    def __init__(self, folder: Path, database: str, seed: int) -> None:
        self.folder = folder
        self.choose = random.Random(seed)
        self.stack = ExitStack()
        api, worker = ("--jobs", "0"), ("--no-api", "--jobs", str(JOBS))
        self.apis = [self._served(f"api{n}", database, api) for n in range(2)]
        self.workers = [self._served(f"worker{n}", database, worker) for n in range(2)]
        self.clients: list[LangGraphClient] = []
        self.done: Counter[str] = Counter()
        self.kills: Counter[str] = Counter()
        self.steps = 0

    def _served(self, name: str, database: str, arguments: tuple[str, ...]) -> Served:
        return Served(self.folder / name, database, environment=ENVIRONMENT, arguments=arguments)

    async def run(self, seconds: float, clients: int = 6) -> None:
        """Do it for so long; raise for what is lost, doubled or incomplete."""
        with self.stack:
            for served in (*self.apis, *self.workers):
                await asyncio.to_thread(self.stack.enter_context, served)
            self.clients = [get_client(url=api.url) for api in self.apis]
            try:
                await self._work(time.monotonic() + seconds, clients)
            finally:
                for client in self.clients:
                    await client.aclose()

    async def _work(self, ends: float, clients: int) -> None:
        async with asyncio.TaskGroup() as group:
            working = [group.create_task(self._client(ends)) for _ in range(clients)]
            killing = group.create_task(self._kill())
            await asyncio.wait(working)
            killing.cancel()

    async def _kill(self) -> None:
        while True:
            await asyncio.sleep(self.choose.uniform(2, 4))
            kind = self.choose.choice(["api", "worker"])
            victim = self.choose.choice(self.apis if kind == "api" else self.workers)
            victim.kill()
            self.kills[kind] += 1
            await asyncio.to_thread(victim.start)

    async def _client(self, ends: float) -> None:
        kinds = [self.joined, self.waited, self.streamed, self.cancelled, self.answered, self.queued]
        while time.monotonic() < ends:
            kind = self.choose.choice(kinds)
            await asyncio.wait_for(kind(), PATIENCE)
            self.done[kind.__name__] += 1

    # -- what a client does when a server dies: it asks the other one

    async def ask(self, call: Callable[[LangGraphClient], Awaitable[Any]]) -> Any:
        """Call until it is answered."""
        while True:
            try:
                return await call(self.choose.choice(self.clients))
            except GONE as e:
                if isinstance(e, httpx.HTTPStatusError) and e.response.status_code in {404, 409}:
                    raise  # an answer; the SDK's methods that reconnect don't make its own errors of it
                await asyncio.sleep(0.1)

    async def thread(self) -> str:
        made = str(uuid.UUID(int=self.choose.getrandbits(128), version=4))
        await self.ask(lambda client: client.threads.create(thread_id=made, if_exists="do_nothing"))
        return made

    async def create(self, thread: str, graph: str, given: Any, **more: Any) -> str:
        """Make a run, once, however often it has to be asked for."""
        headers = {"Idempotency-Key": f"{self.choose.getrandbits(64)}"}
        options = {"input": given, "durability": "sync", "headers": headers, **more}
        made = await self.ask(lambda client: client.runs.create(thread, graph, **options))
        run_id: str = made["run_id"]
        return run_id

    async def values(self, thread: str) -> Any:
        return (await self.ask(lambda client: client.threads.get_state(thread)))["values"]

    async def status(self, thread: str, run_id: str) -> str:
        found: str = (await self.ask(lambda client: client.runs.get(thread, run_id)))["status"]
        return found

    def loop(self, steps: int) -> dict[str, Any]:
        self.steps += steps
        return {"items": [], "steps": steps, "sleep": 0.1, "log": str(self.folder / "log")}

    # -- kinds of work

    async def joined(self) -> None:
        thread, steps = await self.thread(), self.choose.randint(2, 12)
        run_id = await self.create(thread, "loop", self.loop(steps))
        done = await self.ask(lambda client: client.runs.join(thread, run_id))
        assert done["items"] == list(range(steps)), ("joined", thread, done)
        assert await self.status(thread, run_id) == "success"

    async def waited(self) -> None:
        thread, steps = await self.thread(), self.choose.randint(1, 8)
        options = {"input": self.loop(steps), "durability": "sync", "on_disconnect": "continue"}
        headers = {"Idempotency-Key": f"{self.choose.getrandbits(64)}"}
        done = await self.ask(lambda client: client.runs.wait(thread, "loop", headers=headers, **options))
        assert done["items"] == list(range(steps)), ("waited", thread, done)
        assert len(await self.ask(lambda client: client.runs.list(thread))) == 1

    async def streamed(self) -> None:
        """Every event once, in order, over any number of connections; a step that died untold is told when redone."""
        thread, steps = await self.thread(), self.choose.randint(3, 12)
        run_id = await self.create(thread, "loop", self.loop(steps), stream_mode="updates", stream_resumable=True)
        last, parts = "-1", []
        while not parts or await self.status(thread, run_id) not in {"success", "error"} or parts[-1] != steps - 1:
            client = self.choose.choice(self.clients)
            try:
                async for part in client.runs.join_stream(thread, run_id, last_event_id=last):
                    assert part.id is not None
                    assert last == "-1" or number(part.id) == number(last) + 1, ("events", thread, last, part)
                    last = part.id
                    assert part.event != "error", ("streamed", thread, part)
                    parts += [part.data["tick"]["items"][0]] if part.event == "updates" else []
                    if self.choose.random() < 0.1:
                        break  # a client that goes, and comes back
            except GONE:
                await asyncio.sleep(0.1)
        assert parts == list(range(steps)), ("streamed", thread, parts)

    async def cancelled(self) -> None:
        thread = await self.thread()
        run_id = await self.create(thread, "loop", {"items": [], "steps": 30, "sleep": 0.1})
        await asyncio.sleep(self.choose.uniform(0, 1.5))
        action, ends = self.choose.choice(["interrupt", "rollback"]), [["interrupted"], []]
        try:
            await self.ask(lambda client: client.runs.cancel(thread, run_id, wait=True, action=action))
        except httpx.HTTPStatusError as e:
            # The first request was heard, its answer wasn't; or none was, until the run had come to its end.
            if e.response.status_code == 409:
                ends.append(["success"])
            elif (e.response.status_code, action) != (404, "rollback"):
                raise
        found = await self.ask(lambda client: client.runs.list(thread))
        statuses = [run["status"] for run in found]
        for _ in range(300):
            if not {"pending", "running"} & set(statuses):
                break
            await asyncio.sleep(0.1)
            statuses = [run["status"] for run in await self.ask(lambda client: client.runs.list(thread))]
        assert statuses in ends, ("cancelled", action, thread, statuses)
        items = (await self.values(thread) or {}).get("items", [])
        assert items == list(range(30 if statuses == ["success"] else len(items))), ("cancelled", action, thread, items)

    async def answered(self) -> None:
        thread = await self.thread()
        run_id = await self.create(thread, "line", {"items": ["in"], "ask": ["name?"]})
        await self.ask(lambda client: client.runs.join(thread, run_id))
        found = await self.ask(lambda client: client.threads.get(thread))
        assert found["status"] == "interrupted", ("answered", thread, found)
        resumed = await self.create(thread, "line", None, command={"resume": "Ada"})
        done = await self.ask(lambda client: client.runs.join(thread, resumed))
        assert done["items"] == ["in", "first", "Ada", "second"], ("answered", thread, done)

    async def queued(self) -> None:
        thread, count = await self.thread(), 3
        made = [await self.create(thread, "line", {"items": [f"n{n}"], "sleep": 0.1}) for n in range(count)]
        for run_id in made:
            await self.ask(lambda client, run_id=run_id: client.runs.join(thread, run_id))
            assert await self.status(thread, run_id) == "success"
        expected = [item for n in range(count) for item in (f"n{n}", "first", "second")]
        items = (await self.values(thread))["items"]
        assert items == expected, ("queued", thread, items)

    def doubled(self) -> int:
        """Return how many steps were begun more than needed: those that a killed worker had in its hands."""
        log = self.folder / "log"
        return (len(log.read_text().splitlines()) if log.exists() else 0) - self.steps


def number(event_id: str) -> int:
    return int(event_id.rpartition("-")[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=6)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        storm = Storm(Path(folder), given.database, given.seed)
        asyncio.run(storm.run(given.seconds, given.clients))
        print(f"done: {dict(storm.done)}; killed: {dict(storm.kills)}; steps begun twice: {storm.doubled()}")


if __name__ == "__main__":
    sys.exit(main())
