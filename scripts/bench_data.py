"""Speed and memory of the data layer; a table, and JSON with --json FILE.

    python scripts/bench_data.py [--rows 2000000] [--memory-rows 10000000] [--rounds 3] [--json FILE]

Batches: shuffled, 30 features, from the mapped store, against a per-row TensorDataset with a
DataLoader; contenders take turns.
Prepare: a CSV of the same features, against pyarrow reading that file and keeping nothing; and the
peak memory of its own process.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from automtl.data.prepare import prepare
from automtl.data.spec.dataset import load_dataset
from automtl.data.store import Rows, Store
from automtl.files import write_json

FEATURES, NUMBERS, BATCH = 30, 8, 4096
CHUNK = 500_000
SIZES = (10, 100, 1000, 10_000, 100_000)  # distinct ids of the categorical columns, in turn


def write_csv(path: Path, rows: int) -> None:
    """22 columns of ids, 8 of numbers, two labels, a time."""
    g = np.random.default_rng(0)
    with path.open("wb") as stream:
        for start in range(0, rows, CHUNK):
            count = min(CHUNK, rows - start)
            columns = {
                f"c{i}": g.integers(0, SIZES[i % len(SIZES)], count)
                for i in range(FEATURES - NUMBERS)
            }
            columns |= {f"n{i}": g.random(count).round(4) for i in range(NUMBERS)}
            columns |= {
                "click": g.integers(0, 2, count),
                "buy": g.integers(0, 2, count),
                "time": np.arange(start, start + count),
            }
            pyarrow.csv.write_csv(
                pa.table(columns), stream, pyarrow.csv.WriteOptions(include_header=start == 0)
            )


def write_dataset(folder: Path, rows: int) -> Path:
    """The CSV and its YAML."""
    write_csv(folder / "rows.csv", rows)
    features = [{"name": f"c{i}", "kind": "categorical"} for i in range(FEATURES - NUMBERS)]
    features += [{"name": f"n{i}", "kind": "numeric"} for i in range(NUMBERS)]
    tasks = [{"name": name, "label": name} for name in ("click", "buy")]
    config = {"name": "bench", "files": {"train": "rows.csv"}, "features": features, "tasks": tasks}
    (folder / "bench.yaml").write_text(json.dumps(config))
    return folder / "bench.yaml"


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def scan(path: Path) -> int:
    """pyarrow reading the file, block by block, types by its own guess."""
    return sum(batch.num_rows for batch in pyarrow.csv.open_csv(path))


def batch_rates(rows: Rows, rounds: int) -> dict[str, list[float]]:
    """Rows per second of both ways, taking turns."""
    # here, so that the process whose memory is measured does without it, as `automtl data prepare`
    # does
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from automtl.data.store.batches import Batches

    parts = [torch.from_numpy(np.array(part)) for part in (rows.ids, rows.dense, rows.labels)]
    few = min(len(rows), 20 * BATCH)
    per_row = DataLoader(
        TensorDataset(*(part[:few] for part in parts)), batch_size=BATCH, shuffle=True
    )
    batches = Batches(rows, batch_size=BATCH, shuffle=True)
    # the first touch of the mapped files is the disk's
    sum(len(batch) for batch in batches.epoch(0))
    rates: dict[str, list[float]] = {"ours": [], "per row": []}
    for epoch in range(rounds):
        rates["ours"].append(
            len(rows) / seconds(lambda e=epoch: sum(len(batch) for batch in batches.epoch(e)))
        )
        rates["per row"].append(few / seconds(lambda: sum(len(batch[0]) for batch in per_row)))
    return rates


def prepare_ratios(yaml: Path, folder: Path, rounds: int) -> list[tuple[float, float]]:
    """Seconds of a bare scan and of preparing, taking turns."""
    found = []
    for number in range(rounds):
        bare = seconds(lambda: scan(yaml.parent / "rows.csv"))
        found.append(
            (bare, seconds(lambda n=number: prepare(load_dataset(yaml), data_dir=folder / str(n))))
        )
    return found


def peak_memory(yaml: Path, folder: Path) -> float:
    """Peak resident GB of a process that prepares the file and nothing else."""
    command = [sys.executable, __file__, "--only-prepare", str(yaml), str(folder)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def only_prepare(yaml: str, folder: str) -> None:
    prepare(load_dataset(yaml), data_dir=Path(folder))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def measure(rows: int, memory_rows: int, rounds: int) -> list[dict[str, Any]]:
    """Every figure with what it must reach."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yaml = write_dataset(folder, rows)
        pairs = prepare_ratios(yaml, folder, rounds)
        store = Store.open(next((folder / "0" / "prepared").iterdir()))
        rates = batch_rates(store.rows("train"), rounds)
        median = {name: statistics.median(values) for name, values in rates.items()}
        ratio = statistics.median(bare / made for bare, made in pairs)
        found = [
            {"what": "batches, million rows/s", "value": median["ours"] / 1e6, "at_least": 3.0},
            {
                "what": "batches, times a per-row loader",
                "value": median["ours"] / median["per row"],
                "at_least": 40.0,
            },
            {"what": "prepare, times the speed of a bare scan", "value": ratio, "at_least": 0.3},
            {
                "what": "prepare, million rows/s",
                "value": rows / statistics.median(made for _, made in pairs) / 1e6,
                "at_least": None,
            },
        ]
        if memory_rows:
            big = folder / "big"
            big.mkdir()
            peak = peak_memory(write_dataset(big, memory_rows), big / "data")
            found.append(
                {"what": f"prepare {memory_rows:,} rows, peak GB", "value": peak, "at_most": 2.0}
            )
        return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rows", type=int, default=2_000_000, help="of the CSV that speed is measured on"
    )
    parser.add_argument(
        "--memory-rows",
        type=int,
        default=10_000_000,
        help="of the CSV that memory is measured on; 0: not measured",
    )
    parser.add_argument("--rounds", type=int, default=3, help="medians are over these")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    parser.add_argument("--only-prepare", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.only_prepare:
        only_prepare(*options.only_prepare)
        return
    results = measure(options.rows, options.memory_rows, options.rounds)
    for r in results:
        needed = (
            f"at least {r['at_least']:g}"
            if r.get("at_least")
            else f"at most {r['at_most']:g}"
            if r.get("at_most")
            else ""
        )
        print(f"{r['what']:44} {r['value']:10.3f}  {needed}")
    if options.json:
        settings = {
            "rows": options.rows,
            "memory_rows": options.memory_rows,
            "rounds": options.rounds,
        }
        write_json(
            options.json, {**settings, "cores": len(os.sched_getaffinity(0)), "results": results}
        )


if __name__ == "__main__":
    main()
