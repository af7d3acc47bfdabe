"""`automtl retrain`: train an architecture, searched or hand-made."""

from typing import Annotated

import typer

from automtl.cli.console import ConsoleReporter, print_json, say, table
from automtl.cli.options import AsJson, ConfigFile, DataDir, Device, FastDevRun, Out, Sets, Threads, seed_list


def run(
    source: Annotated[str, typer.Argument(help="A searched run's folder, an architecture file, or a hand-made model's name.")],
    data: Annotated[str | None, typer.Option("--data", help="The data set; a searched run knows its own.", show_default=False)] = None,
    sharing: Annotated[str | None, typer.Option("--sharing", help="Plug in another sharing kind.", show_default="its own")] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds of the models: 0, 0,3,7 or 0..4.")] = "0",
    out: Out = None,
    data_dir: DataDir = None,
    device: Device = None,
    threads: Threads = None,
    fast_dev_run: FastDevRun = False,
    as_json: AsJson = False,
) -> None:
    """Train a derived or a hand-made architecture from fresh weights and keep the best epoch by validation MTL-Loss.

    Examples: automtl retrain runs/census_income-automtl_small-1 --seeds 0..2
    and: automtl retrain mmoe --data census_income
    """
    from automtl.phases.retrain import retrain
    from automtl.phases.retrain_plan import plan_retrain

    flags = {
        "data": {"dir": None if data_dir is None else str(data_dir.resolve())},
        "runtime": {"device": device, "threads": threads, "fast_dev_run": fast_dev_run or None},
    }
    numbers = seed_list(seeds)
    plan = plan_retrain(source, data=data, sharing=sharing, config_file=config, sets=sets or (), flags=flags, out=out)
    results = []
    with ConsoleReporter() as reporter:
        for seed in numbers:
            say(f"training {plan.label} on {plan.config.data.source}, seed {seed}, into {plan.run.path}")
            seeded = plan.config.model_copy(update={"seed": seed})
            results.append(retrain(plan.architecture, seeded, run=plan.run, label=plan.label, reporter=reporter))
    if as_json:
        print_json(
            [
                {"folder": str(r.folder.path), "best_epochs": r.best_epochs, "loss": r.validation.loss, "tasks": r.validation.tasks}
                for r in results
            ]
        )
        return
    names = list(results[0].validation.tasks)
    rows = [
        [
            r.folder.path.name,
            *(_auc(r.validation.tasks[n]) for n in names),
            f"{r.validation.loss:.5f}",
            ", ".join(str(e + 1) for e in r.best_epochs),
        ]
        for r in results
    ]
    table("validation rows, best epoch (test rows untouched)", ("model", *names, "MTL-Loss", "best epoch"), rows)
    say(f"next: automtl evaluate {plan.run.path}")


def _auc(metrics: dict[str, float | None]) -> str:
    """The metric people look at first, worded."""
    for name in ("auc", "rmse"):
        if name in metrics:
            value = metrics[name]
            return f"{name} undefined" if value is None else f"{name} {value:.4f}"
    return "-"
