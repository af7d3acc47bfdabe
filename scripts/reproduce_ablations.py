"""What each part of a system is worth: one row per variant, its parts switched off by its own
settings.

    python scripts/reproduce_ablations.py --system mssm --out ablations           # Census-Income, 3 seeds: some 16 minutes on one core
    python scripts/reproduce_ablations.py --system mome --out ablations           # some 20 minutes
    python scripts/reproduce_ablations.py --system mssm --data tiny.yaml --seeds 0 --set retrain.epochs=1 --out tiny

Each variant goes through what `automtl retrain SOURCE --set ...` and `automtl evaluate` do: stopped
on validation, read once on the test rows. All variants of a system share its other settings.
"""

import argparse
import functools
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from automtl import files
from automtl.phases.finished.evaluate import evaluate_runs, summary
from automtl.phases.retrain import retrain
from automtl.phases.retrain.plan import plan_retrain
from automtl.runs.run_dir import PhaseDir


@dataclass(frozen=True)
class Ablation:
    """One system's table.

    Args:
        source: a shipped architecture's name.
        variants: per row its settings, as ``--set`` takes them.
        common: settings of every row.
        recorded: figures of the sharing module's own record at the best epoch by their path, each a
            column; absent ones are left empty.
    """

    source: str
    variants: Mapping[str, Sequence[str]]
    common: Sequence[str] = ()
    recorded: Mapping[str, str] = field(default_factory=dict)


ABLATIONS = {
    "mssm": Ablation(  # Ding et al. 2021, Table 2
        source="mssm",
        variants={
            "basic (SNR-Trans)": ("sharing.fields=false", "sharing.cells=false"),
            "a (no field masks)": ("sharing.fields=false",),
            "b (no cells)": ("sharing.cells=false",),
            "full": (),
        },
        # one weight per mask in every variant, as the paper's sum has it: of "full", with its 512
        # cells on Census-Income, what the default 0.1 on their mean is
        common=("retrain.epochs=10", "sharing.penalty=sum", "sharing.lambda_m=1.953e-4"),
        recorded={"masks off": "cells_off"},
    ),
    "mome": Ablation(  # Xu et al. 2024, Fig. 3a; settings of reproduce_mome.py, fewer epochs
        source="mome",
        variants={
            "base (no masks)": ("sharing.masks=0", "sharing.neuron_epochs=0"),
            "n (neuron masks)": ("sharing.masks=0", "sharing.neuron_epochs=2"),
            "w (weight masks)": ("sharing.neuron_epochs=0",),
            "full": ("sharing.neuron_epochs=2",),
        },
        common=(
            "retrain.batch_size=2048",
            "retrain.epochs=4",
            "runtime.precision=bfloat16",
            "sharing.weight_epochs=2",
            "sharing.lambda_neuron=2e-5",
            "sharing.lambda_weight=1e-7",
        ),
        recorded={"live weights": "masked.live"},
    ),
}


def train(system: Ablation, name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Train and evaluate one variant with every seed; its row of the table."""
    flags = {
        "data": {"dir": options.data_dir and str(Path(options.data_dir).resolve())},
        "runtime": {"threads": options.threads},
    }
    sets = ["retrain.recommended=false", *system.common, *system.variants[name], *options.set]
    out = Path(options.out) / f"{options.system}-{name.split()[0]}"
    begun = options.resume and out.is_dir()
    plan = plan_retrain(
        system.source,
        data=options.data,
        sharing=None,
        config_file=None,
        sets=sets,
        flags=flags,
        out=out,
        resume=begun,
    )
    for seed in options.seeds:
        print(f"{name}, seed {seed} ...", file=sys.stderr, flush=True)
        retrain(
            plan.architecture,
            plan.config.model_copy(update={"seed": seed}),
            run=plan.run,
            label=plan.label,
            resume=begun,
        )
    (scores,) = summary(evaluate_runs([out]))
    folders = plan.run.retrains()
    told = {title: _recorded(folders, key) for title, key in system.recorded.items()}
    return {
        "variant": name,
        "scores": scores,
        "cost": files.read_json(folders[-1].cost)["model"],
        "recorded": told,
    }


def _recorded(folders: Sequence[PhaseDir], key: str) -> float | None:
    """A figure of the sharing module's record at the best epoch, mean of the seeds."""
    found = []
    for folder in folders:
        lines = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
        best = next(line for line in reversed(lines) if line["best"])
        found.append(
            functools.reduce(
                lambda held, part: (held or {}).get(part), key.split("."), best["sharing"]
            )
        )
    return None if None in found else statistics.fmean(found)


def lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The table, as Markdown."""
    metrics = [key for key in rows[0]["scores"] if key not in ("model", "seeds")]
    heads = [
        "variant",
        *metrics,
        *rows[0]["recorded"],
        "other parameters",
        "FLOPs/row",
        "experts + gates MB",
    ]
    made = [heads, ["---"] * len(heads)]
    for row in rows:
        told = ["" if value is None else f"{value:.3f}" for value in row["recorded"].values()]
        counts = [f"{row['cost'][key]:,}" for key in ("other_parameters", "flops_per_row")]
        size = f"{row['cost']['stored']['experts']:.3f}"
        made.append(
            [row["variant"], *(_score(row["scores"][m]) for m in metrics), *told, *counts, size]
        )
    return [f"| {' | '.join(cells)} |" for cells in made]


def _score(value: dict[str, float | None]) -> str:
    if value["mean"] is None:
        return "undefined"
    return f"{value['mean']:.5f}" + ("" if value["sd"] is None else f" +- {value['sd']:.5f}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--system", required=True, choices=list(ABLATIONS))
    parser.add_argument(
        "--data", default="census_income", help="a shipped data set's name or a YAML file"
    )
    parser.add_argument("--data-dir", default=None, help="folder of raw and prepared data")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        help="section.key=value for every variant, as automtl retrain takes it",
    )
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--out", required=True, help="a folder for all runs")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on in an earlier call's folder; models that are finished are kept",
    )
    parser.add_argument("--json", default=None, help="a file for the figures")
    options = parser.parse_args(arguments)
    options.seeds = [int(seed) for seed in options.seeds.split(",")]
    system = ABLATIONS[options.system]
    rows = [train(system, name, options) for name in system.variants]
    print("\n".join(lines(rows)))
    if options.json:
        files.write_json(Path(options.json), rows)


if __name__ == "__main__":
    main()
