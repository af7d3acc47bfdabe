"""Does the search pay on Census-Income? One table of searched and hand-made models of like size,
one way of training.

    python scripts/reproduce_compare.py --out runs/compare       # some 25 minutes of one core; may be stopped and started again
    python scripts/reproduce_compare.py --out tiny --data tiny.yaml --seeds 2 --epochs 1 --models darts mmoe

Searched: `darts`, and `random_search` with the budget of that very run in rows; space
`automtl_small`. By hand: the shipped templates with their experts cut to the size of what the small
space holds (`SIZES`): at their published widths they would have up to sixty times the parameters of
the searched models, and a table of them would take hours. Every model is trained with the same
settings, at most 6 epochs, five seeds, stopped on validation; test rows are read once per trained
model, when all are trained. What is finished is read, not repeated.
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import automtl
from automtl.cli.compare import run as print_comparison
from automtl.cli.progress import ConsoleReporter
from automtl.files import read_json
from automtl.phases.finished.evaluate import evaluate_runs

EPOCHS, PATIENCE = 6, 2
SEARCHED = ("darts", "random_search")
SIZES: dict[str, tuple[list[dict[str, object]], dict[str, int]]] = {
    "mmoe": ([{"blocks": ["dense(64)", "dense(32)"]}] * 4, {}),
    "ple": (
        [{"blocks": ["dense(64)"], "level": 0}, {"blocks": ["dense(32)"], "level": 1}],
        {"task_experts": 1, "shared_experts": 1},
    ),
    "adatt": (
        [{"blocks": ["dense(64)"], "level": 0}, {"blocks": ["dense(32)"], "level": 1}],
        {"task_experts": 1, "shared_experts": 1},
    ),
    "shared_bottom": ([{"blocks": ["dense(128)", "dense(64)"]}], {}),
    "single_task": ([{"blocks": ["dense(64)", "dense(32)"]}], {}),
}


def template(name: str, folder: Path) -> Path:
    """The shipped template, cut to size, as a file."""
    experts, settings = SIZES[name]
    shipped = automtl.Architecture.load(name)
    sharing = {"kind": shipped.sharing.kind, "settings": {**shipped.sharing.settings, **settings}}
    path = folder / "templates" / f"{name}.json"
    shipped.evolve(experts=experts, sharing=sharing).save(path)
    return path


def search(run: Path, args: argparse.Namespace) -> None:
    """Search by the strategy that the run is named for, or go on with a search that was stopped."""
    if (run / "search/architecture.json").exists():
        return
    settings = {
        "strategy": run.name,
        "selection": "argmax",
        **({"budget_run": str(args.out / "darts")} if run.name == "random_search" else {}),
    }
    if args.search_epochs:
        settings |= {"epochs": args.search_epochs, "warmup_epochs": 1}
    started = any(run.glob("search/checkpoint/last*"))
    if not started:
        shutil.rmtree(run, ignore_errors=True)
    automtl.search(
        args.data, space=args.space, out=run, search=settings, resume=started, **args.common
    )


def retrain(run: Path, source: Path, args: argparse.Namespace) -> None:
    """Train with every seed that is not there; a seed that was stopped begins anew, a hand-made
    model with all its seeds.
    """
    done = {path.parent for path in run.glob("retrain/*/results.json")}
    seeds = [s for s in range(args.seeds) if not any(path.name.endswith(f"-s{s}") for path in done)]
    if not seeds:
        return
    # one trainer for all
    settings = {"epochs": args.epochs, "patience": PATIENCE, "recommended": False}
    if source == run:
        for folder in set(run.glob("retrain/*")) - done:
            shutil.rmtree(folder)
        automtl.retrain(run, seeds=seeds, retrain=settings, jobs=args.jobs, **args.common)
    else:
        shutil.rmtree(run, ignore_errors=True)
        automtl.retrain(
            source,
            data=args.data,
            out=run,
            seeds=range(args.seeds),
            retrain=settings,
            jobs=args.jobs,
            **args.common,
        )


def train(name: str, args: argparse.Namespace) -> Path:
    """One model with all its seeds; its run."""
    run = args.out / name
    if name in SEARCHED:
        search(run, args)
    retrain(run, run if name in SEARCHED else template(name, args.out), args)
    return run


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/compare"))
    parser.add_argument("--data", default="census_income")
    parser.add_argument("--space", default="automtl_small")
    parser.add_argument(
        "--models", nargs="+", default=[*SEARCHED, *SIZES], choices=[*SEARCHED, *SIZES]
    )
    parser.add_argument("--seeds", type=int, default=5, help="retrain seeds, from 0")
    parser.add_argument("--jobs", type=int, default=1, help="seeds that are trained at a time")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="the most epochs of a retrain")
    parser.add_argument(
        "--search-epochs", type=int, default=None, help="default as the space recommends"
    )
    args = parser.parse_args(arguments)
    args.common = {"runtime": {"threads": 1}, "reporter": ConsoleReporter()}
    runs = [train(name, args) for name in args.models]
    unread = [
        p.parent
        for run in runs
        for p in sorted(run.glob("retrain/*/results.json"))
        if "test" not in read_json(p)
    ]
    if unread:
        evaluate_runs(unread, device="cpu")
    print_comparison(runs)


if __name__ == "__main__":
    main()
