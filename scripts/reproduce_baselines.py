"""One table of all hand-made models on one data set: what they predict, what they weigh, what they
cost.

    python scripts/reproduce_baselines.py                          # Census-Income, 3 seeds: hours on 2 cores
    python scripts/reproduce_baselines.py --quick                  # one seed, one epoch each: minutes
    python scripts/reproduce_baselines.py --models ple,adatt --data tiny.yaml --set retrain.epochs=3
    python scripts/reproduce_baselines.py --run runs/mine          # every sharing kind plugged over a searched architecture
    python scripts/reproduce_baselines.py --run automtl_small__census_income__first    # a shipped one, on --data

Each model goes through what `automtl retrain MODEL --data DATA --set retrain.recommended=false` and
`automtl evaluate` do, all by the same settings (`--set retrain.recommended=true` trains each as its
paper does): trained on the training rows, stopped on validation, read once on the test rows.
Samples/s: median over training steps, evaluation left out; a model per task (single_task) has
trained every row T times, and is counted so.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from automtl import files
from automtl.errors import ConfigError
from automtl.phases.finished.evaluate import evaluate_runs, summary
from automtl.phases.retrain import retrain
from automtl.phases.retrain.plan import plan_retrain
from automtl.phases.run.reporter import Silent
from automtl.spaces.architecture import Architecture, shipped_architectures
from automtl.spaces.catalogue import SHARING
from automtl.training.loop import StepEvent

ONE_TRAINER = "retrain.recommended=false"  # no model by its own paper's rate
QUICK = ("retrain.epochs=1",)


class Stopwatch(Silent):
    """A reporter that measures rows per second of every training step but an epoch's first."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self._last = 0.0

    def step(self, event: StepEvent, epochs: int) -> None:
        now = time.perf_counter()
        if event.step:
            self.rates.append(event.rows / (now - self._last))
        self._last = now


def models(options: argparse.Namespace) -> list[str]:
    """The models asked for: hand-made ones, or kinds to plug over a searched run."""
    if options.models != "all":
        return str(options.models).split(",")
    return (
        list(SHARING)
        if options.run
        else sorted(name for name in shipped_architectures() if Architecture.load(name).is_template)
    )


def train(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Train and evaluate one model with every seed; its row of the table."""
    flags = {
        "data": {"dir": options.data_dir and str(Path(options.data_dir).resolve())},
        "runtime": {"threads": options.threads},
    }
    sets = [ONE_TRAINER, *(QUICK if options.quick else ()), *options.set]
    out = Path(options.out) / name
    source, kind = (options.run, name) if options.run else (name, None)
    data = None if options.run and Path(source).is_dir() else options.data  # a run has its own
    plan = plan_retrain(
        source, data=data, sharing=kind, config_file=None, sets=sets, flags=flags, out=out
    )
    watch, costs = Stopwatch(), []
    for seed in options.seeds:
        config = plan.config.model_copy(update={"seed": seed})
        result = retrain(plan.architecture, config, run=plan.run, label=plan.label, reporter=watch)
        costs.append(files.read_json(result.folder.cost)["model"])
    (scores,) = summary(evaluate_runs([plan.run.path]))
    parts = len(result.best_epochs)
    return {
        "model": name,
        "scores": scores,
        "cost": costs[-1],
        "samples_per_s": statistics.median(watch.rates or [0.0]) / parts,
    }


def lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The table as text."""
    metrics = [key for key in rows[0]["scores"] if key not in ("model", "seeds")]
    heads = [
        "model",
        *metrics,
        "table parameters",
        "other parameters",
        "FLOPs/row",
        "MB",
        "samples/s",
    ]
    cells = [
        [row["model"], *(_score(row["scores"][m]) for m in metrics), *_costs(row)] for row in rows
    ]
    widths = [max(len(line[i]) for line in [heads, *cells]) for i in range(len(heads))]
    padded = [
        [cell.rjust(width) for cell, width in zip(line, widths, strict=True)]
        for line in [heads, *cells]
    ]
    return ["  ".join([line[0].strip().ljust(widths[0]), *line[1:]]) for line in padded]


def _score(value: dict[str, float | None]) -> str:
    if value["mean"] is None:
        return "undefined"
    return f"{value['mean']:.5f}" + ("" if value["sd"] is None else f" +- {value['sd']:.5f}")


def _costs(row: dict[str, Any]) -> list[str]:
    cost = row["cost"]
    counts = [f"{cost[key]:,}" for key in ("table_parameters", "other_parameters", "flops_per_row")]
    return [*counts, f"{cost['megabytes']:.2f}", f"{row['samples_per_s']:,.0f}"]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", default="census_income", help="a shipped data set's name or a YAML file"
    )
    parser.add_argument(
        "--run",
        default=None,
        help="a searched run, or an architecture: plug every sharing kind over it instead",
    )
    parser.add_argument("--data-dir", default=None, help="folder of raw and prepared data")
    parser.add_argument("--models", default="all", help="names with commas between, or all")
    parser.add_argument(
        "--seeds", default=None, help="such as 0,1,2; default these three, 0 with --quick"
    )
    parser.add_argument("--quick", action="store_true", help="one seed, one epoch")
    parser.add_argument(
        "--set", action="append", default=[], help="section.key=value, as automtl retrain takes it"
    )
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--out", default="runs/baselines", help="a new folder for all runs")
    parser.add_argument("--json", default=None, help="a file for the figures")
    options = parser.parse_args(arguments)
    options.seeds = [
        int(seed) for seed in (options.seeds or ("0" if options.quick else "0,1,2")).split(",")
    ]
    rows, refused = [], []
    for name in models(options):
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            rows.append(train(name, options))
        except ConfigError as error:  # such as mome over experts without an mlp
            refused.append(f"{name} not trained: {error}")
    print("\n".join([*(lines(rows) if rows else ()), *refused]))
    if options.json:
        files.write_json(Path(options.json), rows)


if __name__ == "__main__":
    main()
