"""Kills an S3 server in the middle of a run, and starts it again; the run must finish, with each step once.

python -m tests.fault.outage        some 20 seconds: most of it is the server's start
"""

from __future__ import annotations

import operator
import os
import threading
import time
from typing import Annotated, Any

from tests.servers.seaweed import ENVIRONMENT, Seaweed
from typing_extensions import TypedDict

from perdure.checkpoint.s3 import S3Saver
from perdure.graph import START, StateGraph

STEPS = 20


class State(TypedDict):
    items: Annotated[list, operator.add]


def main() -> None:
    os.environ.update(ENVIRONMENT)
    config: Any = {"configurable": {"thread_id": "t"}, "recursion_limit": 100}
    with Seaweed() as server, S3Saver.from_conn_string(server.url(), retry_for=120) as saver:

        def stop_and_go() -> None:
            server.kill()
            server.start()

        restarting = threading.Thread(target=stop_and_go)

        def work(state: State) -> dict[str, Any]:
            if len(state["items"]) == STEPS // 2:
                restarting.start()
                time.sleep(0.1)
            return {"items": [len(state["items"])]}

        builder = StateGraph(State).add_node("work", work).add_edge(START, "work")
        builder.add_conditional_edges("work", lambda state: "work" if len(state["items"]) < STEPS else "__end__")
        begun = time.monotonic()
        result = builder.compile(checkpointer=saver).invoke({"items": []}, config)
        restarting.join()
        assert result["items"] == list(range(STEPS))
        assert len(list(saver.list(config))) == STEPS + 2
        print(f"{STEPS} steps, the server killed after {STEPS // 2}: done after {time.monotonic() - begun:.1f} s")


if __name__ == "__main__":
    main()
