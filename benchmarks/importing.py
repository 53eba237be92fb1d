"""Measures an import in a process that has loaded nothing else: run as a script, not as a part of the package."""

import sys
import time


def measure(package: str) -> dict[str, float]:
    before = len(sys.modules)
    wall, cpu = time.perf_counter(), time.process_time()
    _ = __import__(f"{package}.graph", fromlist=["graph"]).StateGraph
    _ = __import__(f"{package}.checkpoint.memory", fromlist=["memory"]).InMemorySaver
    spent = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall": spent[0], "cpu": spent[1], "modules": len(sys.modules) - before}


if __name__ == "__main__":
    figures = measure(sys.argv[1])
    import json

    print(json.dumps(figures))
