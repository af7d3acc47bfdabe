"""MoME against MMoE: how small are 8 masks over one network beside 8 networks, and at what price
(Xu et al. 2024, Table 1, Fig. 2)?

    python scripts/reproduce_mome.py --out mome                       # Census-Income, 3 seeds: some 20 minutes on one core
    python scripts/reproduce_mome.py --data tiny.yaml --seeds 0 --set retrain.epochs=1 --set retrain.batch_size=64 --out tiny

Experts are dense(512), dense(256) in both. Each model goes through what `automtl retrain` and
`automtl evaluate` do: stopped on validation, read once on the test rows. Sizes are of what is
stored. MoME's lambda on weight masks makes the curve: the middle one with all seeds, the others
with the first. The bar: experts and gates of the middle one at least 6 times smaller than MMoE's,
and its mean AUC after rounding and fine-tuning at most .003 below.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from automtl import files
from automtl.phases.finished.evaluate import ModelResult, evaluate_runs
from automtl.phases.finished.figures import stored_sizes
from automtl.phases.retrain import retrain
from automtl.phases.retrain.plan import plan_retrain

# Paper: batch 2,048. Six epochs bring MMoE to its plateau on Census-Income; bfloat16 products halve
# the time of both.
COMMON = (
    "retrain.recommended=false",
    "retrain.batch_size=2048",
    "retrain.epochs=6",
    "retrain.patience=3",
    "runtime.precision=bfloat16",
)
MASKS = ("sharing.neuron_epochs=3", "sharing.weight_epochs=3", "sharing.lambda_neuron=2e-5")
LAMBDAS = ("1e-8", "1e-7", "1e-6")
MIDDLE = LAMBDAS[1]


def train(
    source: str, sets: Sequence[str], seeds: Sequence[int], options: argparse.Namespace, name: str
) -> dict[str, Any]:
    """Train and evaluate one model with some seeds; its row of the table."""
    flags = {
        "data": {"dir": options.data_dir and str(Path(options.data_dir).resolve())},
        "runtime": {"threads": options.threads},
    }
    out = Path(options.out) / name
    begun, sets = options.resume and out.is_dir(), [*sets, *options.set]
    plan = plan_retrain(
        source,
        data=options.data,
        sharing=None,
        config_file=None,
        sets=sets,
        flags=flags,
        out=out,
        resume=begun,
    )
    for seed in seeds:
        print(f"{name}, seed {seed} ...", file=sys.stderr, flush=True)
        retrain(
            plan.architecture,
            plan.config.model_copy(update={"seed": seed}),
            run=plan.run,
            label=plan.label,
            resume=begun,
        )
    results = evaluate_runs([plan.run.path])
    (sizes,) = stored_sizes(results).values()
    return {
        "model": name,
        "seeds": list(seeds),
        "auc": [mean_auc(r) for r in results],
        "sizes": sizes,
        **told(results),
    }


def mean_auc(result: ModelResult) -> float:
    """Over tasks, on the test rows."""
    return fmean(metrics["auc"] or 0.0 for metrics in result.test.tasks.values())


def told(results: Sequence[ModelResult]) -> dict[str, Any]:
    """What MoME recorded, mean over seeds: validation AUC before rounding, after it, kept; neurons
    left, live weights, entries on.
    """
    found = [
        _told([json.loads(line) for line in r.folder.metrics.read_text().splitlines()])
        for r in results
    ]
    return {key: fmean(one[key] for one in found) for key in found[0]}


def _told(lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    def auc(validation: dict[str, Any]) -> float:
        return fmean(metrics["auc"] for metrics in validation["tasks"].values())

    best = next(line for line in reversed(lines) if line["best"])
    held = {"kept": auc(best["validation"]), "epochs": float(best["epoch"] + 1)}
    masked = best["sharing"].get("masked")
    if masked is None:
        return held
    last = [line for line in lines if line["phase"] == "weight masks"][-1]
    first = next(line for line in lines if line["phase"] == "fine-tuning")
    left, whole = (sum(pair[i] for pair in masked["inputs"].values()) for i in (0, 1))
    shares = {"neurons": left / whole, "live": masked["live"], "on": masked["histogram"][-1]}
    soft = (
        1 - last["sharing"]["masked"]["histogram"][0] - last["sharing"]["masked"]["histogram"][-1]
    )
    return {
        **held,
        **shares,
        "between": soft,
        "before": auc(last["validation"]),
        "after": auc(first["start"]),
    }


def lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The tables, as Markdown."""
    base = rows[0]
    columns = (
        "seeds",
        "test AUC",
        "below mmoe",
        "tables MB",
        "experts + gates MB",
        "times smaller",
        "towers MB",
    )
    made: list[Sequence[str]] = [("model", *columns)]
    reference = dict(zip(base["seeds"], base["auc"], strict=True))
    for row in rows:
        size, mean = row["sizes"], fmean(row["auc"])
        spread = f" +- {stdev(row['auc']):.5f}" if len(row["auc"]) > 1 else ""
        pairs = [reference[seed] - auc for seed, auc in zip(row["seeds"], row["auc"], strict=True)]
        ratio = base["sizes"]["experts"] / size["experts"]
        figures = (
            f"{mean:.5f}{spread}",
            f"{fmean(pairs):.5f}",
            f"{size['tables']:.3f}",
            f"{size['experts']:.3f}",
            f"{ratio:.1f}",
        )
        made.append(
            (row["model"], ",".join(map(str, row["seeds"])), *figures, f"{size['towers']:.3f}")
        )
    heads = (
        "validation AUC before rounding",
        "after",
        "kept",
        "best epoch",
        "neurons left",
        "live weights",
        "entries on",
        "between",
    )
    more: list[Sequence[str]] = [("model", *heads)]
    keys = ("before", "after", "kept", "epochs", "neurons", "live", "on", "between")
    more += [
        (row["model"], *(f"{row[key]:.4f}" if key in row else "" for key in keys)) for row in rows
    ]
    return [*_table(made), "", *_table(more)]


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (rows[0], ["---"] * len(rows[0]), *rows[1:])]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", default="census_income", help="a shipped data set's name or a YAML file"
    )
    parser.add_argument("--data-dir", default=None, help="folder of raw and prepared data")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        help="section.key=value for every model, as automtl retrain takes it",
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
    seeds = [int(seed) for seed in options.seeds.split(",")]
    rows = [train("mmoe", COMMON, seeds, options, "mmoe")]
    for strength in (MIDDLE, *(value for value in LAMBDAS if value != MIDDLE)):
        own = seeds if strength == MIDDLE else seeds[:1]
        sets = (*COMMON, *MASKS, f"sharing.lambda_weight={strength}")
        rows.append(train("mome", sets, own, options, f"mome-{strength}"))
        print("\n".join(lines(rows)), flush=True)
    if options.json:
        files.write_json(Path(options.json), rows)


if __name__ == "__main__":
    main()
