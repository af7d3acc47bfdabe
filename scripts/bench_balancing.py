"""What balancing costs a training step: processor time as paired ratios to plain training, backward
passes, bytes of gradients held.

    python scripts/bench_balancing.py                                    # every method on MMoE with Census-Income's shape
    python scripts/bench_balancing.py --models mmoe,ple --tasks 4 --rounds 11 --json FILE
    python scripts/bench_balancing.py --models supernet --tables false   # the weight step of a search

One thread; in each round every method takes a step of its own copy of the network on the round's
batch, so that a busy machine slows all of them; the ratio is that of a round's two steps, its
median and range over the rounds. Networks have random rows and labels: shapes decide the cost, not
what is learnt.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from automtl import files
from automtl.data.store.batches import Batch, Inputs
from automtl.data.store.schema import Field, Schema, Task
from automtl.models.derived import build_model
from automtl.models.skeleton import MultiTaskNet
from automtl.models.supernet import build_supernet
from automtl.spaces.architecture import Architecture
from automtl.spaces.space import SearchSpace
from automtl.strategies.darts import Darts
from automtl.strategies.darts_settings import DartsSettings
from automtl.training.balancing import make_balancer
from automtl.training.balancing.balancer import Balancer, BalancingSettings
from automtl.training.balancing.balancers import METHODS, PLAIN
from automtl.training.losses import multi_task_loss

Step = Callable[[Batch], Any]


def schema_of(options: argparse.Namespace) -> Schema:
    fields = [
        Field(name=f"f{i}", kind="categorical", vocabulary_size=options.vocabulary)
        for i in range(options.fields)
    ]
    numbers = [Field(name=f"x{i}", kind="numeric") for i in range(options.numbers)]
    return Schema(
        name="bench",
        fields=(*fields, *numbers),
        tasks=tuple(Task(name=f"t{i}", kind="binary") for i in range(options.tasks)),
    )


def batch_of(options: argparse.Namespace, seed: int) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(
        options.vocabulary, (options.batch, options.fields), generator=draw, dtype=torch.int32
    )
    labels = torch.randint(2, (options.batch, options.tasks), generator=draw).float()
    return Batch(
        Inputs(ids, torch.randn(options.batch, options.numbers, generator=draw)),
        labels,
        None,
        torch.arange(options.batch),
    )


def stepper(
    name: str, settings: BalancingSettings, options: argparse.Namespace
) -> tuple[Step, Balancer, torch.nn.Module]:
    """A training step of a fresh network by one method, the balancer to ask, and the network."""
    schema = schema_of(options)
    if name == "supernet":
        darts = Darts(
            build_supernet(SearchSpace.load(options.space), schema).train(),
            schema,
            DartsSettings(balancing=settings),
        )
        darts.begin_epoch(DartsSettings().warmup_epochs)
        return darts._weight_step, darts.balancer, darts.net
    net = build_model(Architecture.load(name), schema).train()
    assert isinstance(net, MultiTaskNet), "single_task shares nothing"
    adam, balancer = (
        torch.optim.Adam(net.parameters(), fused=True),
        make_balancer(settings, schema.tasks, net),
    )

    def step(batch: Batch) -> None:
        balancer.backward(multi_task_loss(schema.tasks, net(batch.inputs), batch.labels))
        adam.step()
        adam.zero_grad()

    return step, balancer, net


def measure(name: str, methods: Sequence[str], options: argparse.Namespace) -> list[dict[str, Any]]:
    """One row per method; the first is what the others are held against."""
    made = {method: stepper(name, settings_of(method, options), options) for method in methods}
    seconds: dict[str, list[float]] = {method: [] for method in methods}
    for number in range(options.rounds + 1):
        batch = batch_of(options, number)
        for method, (step, _, _) in made.items():
            start = time.process_time()
            step(batch)
            seconds[method].append(time.process_time() - start)
    base = seconds[methods[0]][1:]  # the first step warms up
    rows = []
    for method, (_, balancer, net) in made.items():
        ratios = [own / other for own, other in zip(seconds[method][1:], base, strict=True)]
        told = balancer.record()
        weights = sum(p.numel() * p.element_size() for p in net.parameters())
        rows.append(
            {
                "model": name,
                "method": method,
                "ratio": statistics.median(ratios),
                "range": [min(ratios), max(ratios)],
                "step_ms": 1e3 * statistics.median(seconds[method][1:]),
                "backward_passes": told.get("backward_passes", 1.0),
                "extra_mb": told.get("extra_bytes", 0) / 2**20,
                "weights_mb": weights / 2**20,
            }
        )
    return rows


def settings_of(method: str, options: argparse.Namespace) -> BalancingSettings:
    return BalancingSettings(method, tables=options.tables)


def show(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = [
        f"{'model':10} {'method':12} {'step ms':>8} {'ratio':>6} {'range':>11} {'passes':>6} "
        f"{'extra MB':>8} {'weights MB':>10}"
    ]
    for r in rows:
        spread, figures = (
            "{:.2f}-{:.2f}".format(*r["range"]),
            f"{r['backward_passes']:6.0f} {r['extra_mb']:8.2f} {r['weights_mb']:10.2f}",
        )
        lines.append(
            f"{r['model']:10} {r['method']:12} {r['step_ms']:8.1f} {r['ratio']:6.2f} "
            f"{spread:>11} {figures}"
        )
    return lines


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--models", default="mmoe", help="shipped architectures, or supernet; with commas"
    )
    parser.add_argument(
        "--methods",
        default=",".join(m for m in METHODS if m != "fixed"),
        help="ratios are to the first",
    )
    parser.add_argument(
        "--tables",
        choices=("true", "false"),
        default="true",
        help="embedding tables among the shared parameters",
    )
    parser.add_argument("--space", default="automtl_small", help="of the supernet")
    for name, default in (
        ("tasks", 3),
        ("fields", 30),
        ("numbers", 8),
        ("vocabulary", 50),
        ("batch", 1024),
        ("rounds", 7),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args(arguments)
    options.tables = options.tables == "true"
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = options_of(sys.argv[1:] if arguments is None else arguments)
    torch.set_num_threads(1)
    methods = options.methods.split(",")
    assert methods[0] in PLAIN, (
        "the first method is what the others are held against: equal or fixed"
    )
    rows = [row for name in options.models.split(",") for row in measure(name, methods, options)]
    print("\n".join(show(rows)))
    if options.json:
        shape = {name: value for name, value in vars(options).items() if name != "json"}
        files.write_json(options.json, {**shape, "torch": torch.__version__, "rows": rows})


if __name__ == "__main__":
    main()
