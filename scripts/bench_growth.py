"""How a search step grows: seconds and peak memory against experts, blocks, tasks, fields, batch
and vocabulary, as log-log slopes.

    python scripts/bench_growth.py [--axes experts blocks ...] [--rounds 5] [--threads 2] [--json FILE]
    python scripts/bench_growth.py --axes rows                    # a whole small search, loading and evaluation included

Each point lives in a process of its own; in each round every point of an axis takes one step in
turn, so a busy machine slows all of them. The slope is of the line through (log size, log median
seconds): 1 is linear. Memory is the peak above the idle network's, beside what
docs/performance.md's formula says it is at most.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import automtl
from automtl.files import read_json, write_json
from automtl.models.memory import step_bytes
from automtl.phases.run.device import set_allocator

sys.path.insert(0, str(Path(__file__).parent))
import bench_search_step as one

AXES: dict[str, tuple[int, ...]] = {
    "experts": (4, 8, 16),
    "blocks": (1, 2, 4),
    "tasks": (2, 4, 8),
    "fields": (7, 14, 28),
    "batch": (512, 1024, 2048, 4096),
    "vocabulary": (10**4, 10**5, 10**6, 10**7),
    "rows": (20_000, 40_000, 80_000),
}
LIMIT = {"experts": 1.05, "blocks": 1.05, "batch": 1.05, "rows": 1.05}
BASE = {"experts": 8, "blocks": 2, "tasks": 2, "fields": 7, "batch": 1024, "vocabulary": 7000}


def options_at(axis: str, size: int, threads: int) -> argparse.Namespace:
    """A point's shape as bench_search_step takes it; its vocabulary is ids per field, ours is rows
    of all tables.
    """
    shape = {**BASE, axis: size}
    shape["vocabulary"] = max(2, shape["vocabulary"] // shape["fields"])
    return argparse.Namespace(space="automtl", width=0, cpu_time=False, threads=threads, **shape)


def child(axis: str, size: int, threads: int) -> None:
    """A step per line of input; prints its seconds and the peak MB above the idle network."""
    set_allocator("keep")
    torch.set_num_threads(threads)
    options = options_at(axis, size, threads)
    step = one.stepper(options, "fused-keep")
    idle = one.memory("VmRSS")
    for _ in sys.stdin:
        print(step(), one.memory("VmHWM") - idle, flush=True)


def bound_mb(axis: str, size: int, threads: int) -> float:
    """What the formula says of a point."""
    options = options_at(axis, size, threads)
    return (
        step_bytes(one.supernet_of(options, ["fused"]), one.schema_of(options), batch=options.batch)
        / 2**20
    )


def search_seconds(rows: int, threads: int) -> float:
    """A search of 2 epochs on so many rows, its evaluation included."""
    g = np.random.default_rng(0)
    frame = pd.DataFrame({f"c{i}": g.integers(0, 50, rows) for i in range(6)})
    frame["click"], frame["buy"] = g.integers(0, 2, rows), g.integers(0, 2, rows)
    features = [{"name": f"c{i}", "kind": "categorical"} for i in range(6)]
    settings = {
        "name": "rows",
        "features": features,
        "tasks": [{"name": n, "label": n} for n in ("click", "buy")],
    }
    with tempfile.TemporaryDirectory() as name:
        os.environ["AUTOMTL_DATA_DIR"] = name
        budget = {"strategy": "darts", "selection": "argmax"}
        budget |= {"epochs": 2, "warmup_epochs": 1, "batch_size": 512, "gradient_conflict": False}
        found = automtl.search(
            settings,
            frame=frame,
            space="automtl_small",
            out=Path(name) / "run",
            search=budget,
            runtime={"threads": threads},
        )
        return float(read_json(found.run / "search" / "cost.json")["seconds"])


def start(axis: str, size: int, threads: int) -> Callable[[], tuple[float, float]]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, __file__, "--child", axis, str(size), "--threads", str(threads)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )

    def turn() -> tuple[float, float]:
        assert process.stdin
        assert process.stdout
        print(file=process.stdin, flush=True)
        seconds, peak = map(float, process.stdout.readline().split())
        return seconds, peak

    return turn


def slope(sizes: list[float], values: list[float]) -> float:
    """Of the least-squares line through (log size, log value)."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def measure(axis: str, rounds: int, threads: int) -> dict[str, Any]:
    """Every point of an axis, taking turns; the first round warms up."""
    sizes = AXES[axis]
    if axis == "rows":
        runs = [
            [(search_seconds(size, threads), math.nan) for size in sizes]
            for _ in range(max(1, rounds // 2))
        ]
    else:
        turns = [start(axis, size, threads) for size in sizes]
        runs = [[turn() for turn in turns] for _ in range(rounds + 1)][1:]
    points = []
    for i, size in enumerate(sizes):
        seen = [run[i] for run in runs]
        bound = math.nan if axis == "rows" else bound_mb(axis, size, threads)
        points.append(
            {
                "size": size,
                "seconds": statistics.median(s for s, _ in seen),
                "peak_mb": seen[-1][1],
                "bound_mb": bound,
            }
        )
    found = {
        "axis": axis,
        "points": points,
        "slope": slope([p["size"] for p in points], [p["seconds"] for p in points]),
    }
    if axis != "rows":
        found["memory_slope"] = slope([p["size"] for p in points], [p["peak_mb"] for p in points])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--axes", nargs="+", choices=list(AXES), default=[axis for axis in AXES if axis != "rows"]
    )
    parser.add_argument("--rounds", type=int, default=5, help="medians are over these")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], int(options.child[1]), options.threads)
        return
    results = []
    for axis in options.axes:
        found = measure(axis, options.rounds, options.threads)
        limit = f" (at most {LIMIT[axis]})" if axis in LIMIT else ""
        print(
            f"{axis}: slope of time {found['slope']:.2f}{limit}, of memory "
            f"{found.get('memory_slope', math.nan):.2f}",
            flush=True,
        )
        for p in found["points"]:
            print(
                f"  {p['size']:>10,} {p['seconds']:8.3f} s {p['peak_mb']:8.0f} MB, formula "
                f"{p['bound_mb']:8.0f} MB",
                flush=True,
            )
        results.append(found)
    if options.json:
        plain = json.dumps({"threads": options.threads, "base": BASE, "results": results}).replace(
            "NaN", "null"
        )
        write_json(options.json, json.loads(plain))


if __name__ == "__main__":
    main()
