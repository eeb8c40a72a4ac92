"""`collect` against the bare forward pass of the same loader: time, and peak memory.

Moments of the plain pass alone, and with random interventions on a tenth of a layer (`intervene=0.10`),
which is one more forward pass a batch.
"""

from __future__ import annotations

import json
import sys

from causal_widget.graph import trace
from causal_widget.responses import collect
from tests.benchmarks import harness

RUNS = 5
IMAGES = 2048
MEMORY_IMAGES = (512, 4096)


def time_one(name: str) -> dict[str, float]:
    """Bare and collecting passes in turn, so that a busy machine slows both."""
    model, loader = harness.prepared(name, IMAGES)
    graph = trace(model, next(iter(loader))[0])
    harness.forward(model, loader)
    runs: dict[str, list[tuple[float, float]]] = {"bare": [], "collect": [], "intervene": []}
    for _ in range(RUNS):
        runs["bare"].append(harness.seconds(lambda: harness.forward(model, loader)))
        runs["collect"].append(harness.seconds(lambda: collect(model, loader, graph=graph)))
        runs["intervene"].append(harness.seconds(lambda: collect(model, loader, graph=graph, intervene=0.10)))
    found = {name: harness.medians(taken) for name, taken in runs.items()}
    times = {f"{name} s": wall for name, (wall, _) in found.items()}
    for name in ("collect", "intervene"):
        times[f"{name} ratio"] = found[name][0] / found["bare"][0]
        times[f"{name} cpu ratio"] = found[name][1] / found["bare"][1]
    return times


def memory_one(name: str, what: str, n_images: int) -> int:
    """Peak memory of one pass."""
    model, loader = harness.prepared(name, n_images)
    if what == "bare":
        harness.forward(model, loader)
    else:
        collect(model, loader, intervene=0.10 if what == "intervene" else None)
    return harness.peak_bytes()


def test_bench_collect() -> None:
    """Print both tables."""
    times = [{"network": name, **harness.apart("bench_collect", "time", name)} for name in harness.NETWORKS]
    harness.show(f"collect, {IMAGES} images in batches of 64, median of {RUNS}", times)
    rows = []
    for name in harness.NETWORKS:
        for n_images in MEMORY_IMAGES:
            bare, collecting, intervening = (
                harness.apart("bench_collect", "memory", name, what, str(n_images)) / 1e6
                for what in ("bare", "collect", "intervene")
            )
            rows.append(
                {
                    "network": name,
                    "images": n_images,
                    "bare MB": bare,
                    "collect MB": collecting,
                    "more MB": collecting - bare,
                    "intervene MB": intervening,
                    "more with intervene MB": intervening - bare,
                }
            )
    harness.show("peak resident memory, each in a process of its own", rows)


if __name__ == "__main__":
    if sys.argv[1] == "time":
        print(json.dumps(time_one(sys.argv[2])))
    else:
        print(json.dumps(memory_one(sys.argv[2], sys.argv[3], int(sys.argv[4]))))
