"""Do the fast options cost quality? Search and retrain per seed with and without each; 90% intervals
of the difference by Welch, within which two one-sided tests say that both are equal.

    python scripts/reproduce_options.py --data census_income --seeds 5 --out runs/options

Mean AUC over tasks on the validation rows (an option is chosen by it, so test rows are left alone).
Runs that are already in the folder are read, not repeated, so the script can be stopped and started
again.
"""

import argparse
import json
import statistics
from pathlib import Path

import automtl
from automtl.phases.run.reporter import Silent
from automtl.runs.run_dir import RunDir
from automtl.statistics import equivalent, welch

VARIANTS: dict[str, dict[str, dict[str, object]]] = {
    "float32": {},
    "bfloat16": {"runtime": {"precision": "bfloat16"}},
    "nested": {"space": {"widths": "nested"}},
}
LIMIT = 0.002


class Teller(Silent):
    """Says the lines of a run and shows no steps."""

    def say(self, text: str) -> None:
        print(text, flush=True)

    def step(self, event: object, epochs: int) -> None:
        pass


def quality(args: argparse.Namespace, variant: str, seed: int) -> float:
    """Mean validation AUC over tasks of one search and its retrain."""
    path, settings = Path(args.out) / f"{variant}-{seed}", VARIANTS[variant]
    results = RunDir(path).retrain("selected", seed).results
    if not results.exists():
        print(f"== {variant}, seed {seed}", flush=True)
        runtime = {key: value for key, value in settings.items() if key == "runtime"}
        if not (path / "search/architecture.json").exists():
            space = {"base": args.space, **settings.get("space", {})}
            automtl.search(
                args.data, space=space, out=path, seed=seed, reporter=Teller(), **runtime
            )
        automtl.retrain(
            path, seeds=[seed], reporter=Teller(), retrain={"patience": args.patience}, **runtime
        )
    tasks = json.loads(results.read_text())["validation"]["tasks"]
    return statistics.fmean(task["auc"] for task in tasks.values())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="census_income")
    parser.add_argument("--space", default="automtl_small")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--patience", type=int, default=3)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--out", default="runs/options")
    args = parser.parse_args()
    scores = {
        variant: [quality(args, variant, seed) for seed in range(args.seeds)]
        for variant in args.variants
    }
    print(f"mean validation AUC of {args.seeds} searches and retrains, {args.data}, {args.space}")
    for variant, values in scores.items():
        print(
            f"{variant:10} {statistics.fmean(values):.5f}  " + " ".join(f"{v:.5f}" for v in values)
        )
        if variant != args.variants[0]:
            found = welch(values, scores[args.variants[0]], level=0.9)
            if found is None:
                print(f"{'':10} one seed, with which nothing can be tested")
                continue
            within = "within" if equivalent(found, LIMIT) else "NOT within"
            print(
                f"{'':10} minus {args.variants[0]}: 90% interval [{found.low:+.5f}, "
                f"{found.high:+.5f}], {within} +-{LIMIT}"
            )


if __name__ == "__main__":
    main()
