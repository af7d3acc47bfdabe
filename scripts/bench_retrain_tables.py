"""What a retrain's step costs with large embedding tables: paired times of a small and a large one.

    python scripts/bench_retrain_tables.py                        # 1e7 rows against 1e4
    python scripts/bench_retrain_tables.py --large 1000000 --rounds 5 --json FILE

One thread; in each round the network with the small table and the one with the large table take a
step on the round's batch, so that a busy machine slows both; the ratio is that of a round's two
steps, its median and range over the rounds. Rows are drawn over the whole table and labels are
random: shapes decide the cost. `adam` is dense: its step goes over the whole table, and its memory
is four times the table's.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from automtl import files
from automtl.data.store.batches import Batch, Inputs
from automtl.data.store.schema import Field, Schema, Task
from automtl.models.derived import build_model
from automtl.models.skeleton import MultiTaskNet
from automtl.spaces.architecture import Architecture
from automtl.training.balancing import make_balancer
from automtl.training.balancing.balancer import BalancingSettings
from automtl.training.optim.optimizers import OptimizerSettings, make_optimizer
from automtl.training.step import train_step
from automtl.training.step.guard import Guard

KINDS = ("adam", "sgd", "lazy_adam")
TASKS = ("click", "buy")


def stepper(kind: str, rows: int, options: argparse.Namespace) -> Callable[[Batch], None]:
    """A retrain's step of a fresh network whose one large field has so many ids."""
    small = [Field(name=f"f{i}", kind="categorical", vocabulary_size=50) for i in range(7)]
    large = Field(name="large", kind="categorical", vocabulary_size=rows)
    tasks = tuple(Task(name=name, kind="binary") for name in TASKS)
    schema = Schema(name="bench", fields=(large, *small), tasks=tasks)
    settings = OptimizerSettings(embedding_optimizer=kind)
    net = build_model(
        Architecture.load(options.model), schema, sparse=settings.sparse, max_parameters=None
    ).train()
    assert isinstance(net, MultiTaskNet), "single_task is several networks"
    optimizer, balancer = (
        make_optimizer(net, settings),
        make_balancer(BalancingSettings(), tasks, net),
    )
    guard = Guard()

    def step(batch: Batch) -> None:
        train_step(
            net,
            batch,
            tasks,
            optimizer=optimizer,
            balancer=balancer,
            guard=guard,
            autocast=nullcontext,
            clip_norm=5.0,
        )

    return step


def batch_of(rows: int, options: argparse.Namespace, seed: int) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    large = torch.randint(rows, (options.batch, 1), generator=draw, dtype=torch.int32)
    small = torch.randint(50, (options.batch, 7), generator=draw, dtype=torch.int32)
    labels = torch.randint(2, (options.batch, len(TASKS)), generator=draw).float()
    inputs = Inputs(torch.cat([large, small], 1), torch.empty(options.batch, 0))
    return Batch(inputs, labels, None, torch.arange(options.batch))


def measure(kind: str, options: argparse.Namespace) -> dict[str, Any]:
    """Times of one optimiser, and the large table's over the small one's."""
    sizes = (options.small, options.large)
    steps = {rows: stepper(kind, rows, options) for rows in sizes}
    seconds: dict[int, list[float]] = {rows: [] for rows in sizes}
    for number in range(options.rounds + 1):
        for rows, step in steps.items():
            batch = batch_of(rows, options, number)
            start = time.process_time()
            step(batch)
            seconds[rows].append(time.process_time() - start)
    # the first step warms up
    small, large = (seconds[rows][1:] for rows in sizes)
    ratios = [own / other for own, other in zip(large, small, strict=True)]
    return {
        "embedding_optimizer": kind,
        "small_ms": 1e3 * statistics.median(small),
        "large_ms": 1e3 * statistics.median(large),
        "ratio": statistics.median(ratios),
        "range": [min(ratios), max(ratios)],
    }


def show(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = [f"{'optimizer':10} {'small ms':>9} {'large ms':>9} {'ratio':>7} {'range':>12}"]
    for r in rows:
        spread = "{:.2f}-{:.2f}".format(*r["range"])
        lines.append(
            f"{r['embedding_optimizer']:10} {r['small_ms']:9.1f} {r['large_ms']:9.1f} "
            f"{r['ratio']:7.2f} {spread:>12}"
        )
    return lines


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mmoe", help="a shipped architecture")
    parser.add_argument("--optimizers", default=",".join(KINDS), help="with commas")
    shape = (("small", 10_000), ("large", 10_000_000), ("batch", 1024), ("rounds", 7))
    for name, default in shape:
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = options_of(sys.argv[1:] if arguments is None else arguments)
    torch.set_num_threads(1)
    rows = [measure(kind, options) for kind in options.optimizers.split(",")]
    print("\n".join(show(rows)))
    if options.json:
        shape = {name: value for name, value in vars(options).items() if name != "json"}
        files.write_json(options.json, {**shape, "torch": torch.__version__, "rows": rows})


if __name__ == "__main__":
    main()
