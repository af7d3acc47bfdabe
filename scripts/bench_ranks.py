"""What training together costs and saves: W ranks of one thread each against one process of one
thread at the same rows a step, and the bytes that a rank gives to the others.

    python scripts/bench_ranks.py                                  # 2 ranks, a search and a retrain
    python scripts/bench_ranks.py --ranks 1,2,4 --batch 2048 --rounds 11 --json FILE

In each round all ranks make a step together, then the first one makes it alone while the others
wait, so that a busy machine slows both; the figure is how many times the rows per second of one
process, the median over the rounds and its range. It needs a processor for each rank: on fewer it
says nothing of speed, but calls and bytes hold. Rows are drawn evenly and labels are random.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing

from automtl import files
from automtl.data.store.batches import Batch, Inputs
from automtl.data.store.schema import Field, Schema, Task
from automtl.models.derived import build_model
from automtl.models.skeleton import MultiTaskNet
from automtl.models.supernet import build_supernet
from automtl.ranks import ALONE, Group, Ranks
from automtl.spaces.architecture import Architecture
from automtl.spaces.space import SearchSpace
from automtl.strategies.darts import Darts
from automtl.strategies.darts_settings import DartsSettings
from automtl.training.balancing import make_balancer
from automtl.training.balancing.balancer import BalancingSettings
from automtl.training.optim.optimizers import OptimizerSettings, make_optimizer
from automtl.training.step import train_step
from automtl.training.step.guard import Guard

FIELDS, TASKS = 8, ("click", "buy")


def schema_of(vocabulary: int) -> Schema:
    fields = [
        Field(name=f"f{i}", kind="categorical", vocabulary_size=vocabulary) for i in range(FIELDS)
    ]
    tasks = tuple(Task(name=name, kind="binary") for name in TASKS)
    return Schema(name="bench", fields=tuple(fields), tasks=tasks)


def batch_of(options: argparse.Namespace, seed: int, ranks: Ranks) -> Batch:
    """This rank's rows of a step."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(
        options.vocabulary, (options.batch, FIELDS), generator=draw, dtype=torch.int32
    )
    labels = torch.randint(2, (options.batch, len(TASKS)), generator=draw).float()
    numbers, mine = torch.arange(options.batch), slice(ranks.rank, None, ranks.size)
    inputs = Inputs(ids[mine], torch.empty(len(ids[mine]), 0))
    return Batch(inputs, labels[mine], None, numbers[mine], None if ranks.size == 1 else numbers)


def search_step(options: argparse.Namespace, ranks: Ranks) -> Callable[[int], None]:
    schema = schema_of(options.vocabulary)
    net = build_supernet(SearchSpace.load(options.space), schema, seed=0)
    darts = Darts(net, schema, DartsSettings(), ranks=ranks)
    darts.begin_epoch(0)
    return lambda n: void(
        darts.step(batch_of(options, 2 * n, ranks), batch_of(options, 2 * n + 1, ranks))
    )


def retrain_step(options: argparse.Namespace, ranks: Ranks) -> Callable[[int], None]:
    schema, settings = schema_of(options.vocabulary), OptimizerSettings(embedding_optimizer="sgd")
    net = build_model(Architecture.load(options.model), schema, sparse=settings.sparse).train()
    assert isinstance(net, MultiTaskNet), "single_task is several networks"
    optimizer = make_optimizer(net, settings)
    balancer = make_balancer(BalancingSettings(), schema.tasks, net, ranks=ranks)
    given: dict[str, Any] = {"optimizer": optimizer, "balancer": balancer, "guard": Guard()}
    given |= {"autocast": nullcontext, "clip_norm": 5.0}
    return lambda n: void(train_step(net, batch_of(options, n, ranks), schema.tasks, **given))


def void(_: object) -> None:
    """Nothing of what a step hands back is looked at."""


STEPS = {"search": search_step, "retrain": retrain_step}


def work(rank: int, size: int, folder: str, options: argparse.Namespace) -> None:
    """One rank's part; the first one writes the figures."""
    torch.set_num_threads(1)
    meet, wait = f"file://{folder}/meet{size}", timedelta(minutes=5)
    dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=size, timeout=wait)
    group, found = Group(600), []
    for kind in options.steps.split(","):
        together, one = STEPS[kind](options, group), STEPS[kind](options, ALONE)
        seconds: list[tuple[float, float]] = []
        before = (group.calls, group.bytes)
        for number in range(options.rounds + 1):
            dist.barrier()
            begun = time.perf_counter()
            together(number)
            dist.barrier()
            middle = time.perf_counter()
            if rank == 0:
                one(number)
            seconds.append((middle - begun, time.perf_counter() - middle))
            dist.barrier()
        steps = options.rounds + 1
        ratios = [alone / shared for shared, alone in seconds[1:]]  # the first one warms up
        found.append(
            {
                "step": kind,
                "ranks": size,
                "ms": 1e3 * statistics.median(shared for shared, _ in seconds[1:]),
                "alone_ms": 1e3 * statistics.median(alone for _, alone in seconds[1:]),
                "times_the_rows": statistics.median(ratios),
                "range": [min(ratios), max(ratios)],
                "collectives": (group.calls - before[0]) / steps,
                "bytes": (group.bytes - before[1]) / steps,
            }
        )
    if rank == 0:
        files.write_json(Path(folder) / f"figures{size}.json", found)
    dist.destroy_process_group()


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """The figures of each number of ranks."""
    rows: list[dict[str, Any]] = []
    for size in map(int, options.ranks.split(",")):
        with files.scratch_folder() as folder:
            torch.multiprocessing.spawn(work, (size, str(folder), options), nprocs=size)
            rows += files.read_json(folder / f"figures{size}.json")
    return rows


def show(rows: Sequence[dict[str, Any]]) -> list[str]:
    head = f"{'step':8} {'ranks':>5} {'ms':>9} {'alone ms':>9} {'rows/s':>7} {'range':>12}"
    lines = [f"{head} {'collectives':>11} {'kB a rank':>10}"]
    for r in rows:
        spread = "{:.2f}-{:.2f}".format(*r["range"])
        lines.append(
            f"{r['step']:8} {r['ranks']:5} {r['ms']:9.1f} {r['alone_ms']:9.1f} "
            f"{r['times_the_rows']:6.2f}x {spread:>12} {r['collectives']:11.1f} "
            f"{r['bytes'] / 1e3:10.1f}"
        )
    return lines


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ranks", default="2", help="numbers of ranks, with commas")
    parser.add_argument("--steps", default=",".join(STEPS), help="with commas")
    parser.add_argument("--space", default="automtl_small", help="of the search's step")
    parser.add_argument("--model", default="mmoe", help="of the retrain's step")
    for name, default in (("batch", 2048), ("vocabulary", 10_000), ("rounds", 7)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = options_of(sys.argv[1:] if arguments is None else arguments)
    rows = measure(options)
    print("\n".join(show(rows)))
    if options.json:
        shape = {name: value for name, value in vars(options).items() if name != "json"}
        files.write_json(options.json, {**shape, "torch": torch.__version__, "rows": rows})


if __name__ == "__main__":
    main()
