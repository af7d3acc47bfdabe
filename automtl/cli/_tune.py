"""`automtl tune`: a study of the search budget, or of the sharing module."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automtl.cli._options import (
    AsJson,
    ConfigFile,
    DataDir,
    Device,
    FastDevRun,
    Out,
    Sets,
    Threads,
    absolute,
    seconds,
)
from automtl.cli.console import ConsoleReporter, print_json, say, say_origins, table
from automtl.errors import ConfigError

if TYPE_CHECKING:
    from automtl.config_layers import Recommendation
    from automtl.phases.tune import TuneResult


def run(
    source: Annotated[
        str,
        typer.Argument(
            help="A data set's name or YAML file; with --over sharing a searched run's folder."
        ),
    ],
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials", help="Of the whole study, all starts together.", show_default="20"
        ),
    ] = None,
    over: Annotated[
        str | None,
        typer.Option("--over", help="What varies: budget or sharing.", show_default="budget"),
    ] = None,
    objective: Annotated[
        str | None, typer.Option("--objective", help="loss, or loss_and_cost.", show_default="loss")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage", help="A database's URL.", show_default="SQLite in the run's folder"
        ),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(
            "--space", help="A shipped space's name, or a space file.", show_default="automtl"
        ),
    ] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", help="Of suggestions, weights and order of rows.", show_default="0"),
    ] = None,
    out: Out = None,
    data_dir: DataDir = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Take part in the study at --out, stopped or running.")
    ] = False,
    time_limit: Annotated[
        str | None,
        typer.Option("--time-limit", help="Stop after 30s, 10m or 2h; --resume goes on."),
    ] = None,
    device: Device = None,
    threads: Threads = None,
    fast_dev_run: FastDevRun = False,
    as_json: AsJson = False,
) -> None:
    """Find the search budget that pays: each trial is a short search and a short retrain, poor ones
    are stopped early.

    Examples: automtl tune census_income --space automtl_small --trials 12
    and: automtl tune census_income --space automtl_small --objective loss_and_cost --out runs/front
    and: automtl tune runs/census_income-automtl_small-1 --over sharing
    """
    from automtl.config import resolve
    from automtl.phases.run.resume import need_plugins
    from automtl.phases.run.run_data import kept_advice
    from automtl.phases.tune import tune
    from automtl.runs.run_dir import RunDir

    if resume and out is not None:  # before its space is looked up, which may need them
        need_plugins(RunDir(out).tune)
    flags = {
        "seed": seed,
        "data": {"dir": None if data_dir is None else str(data_dir.resolve())},
        "tune": {"trials": trials, "over": over, "objective": objective},
        "runtime": {
            "device": device,
            "threads": threads,
            "fast_dev_run": fast_dev_run or None,
            "time_limit_s": seconds(time_limit),
        },
    }
    searched = source if over == "sharing" else None
    base, advice = ({}, None) if searched is None else _held(searched)
    dataset = str(base["data"]["source"]) if searched else absolute(source)
    if resume and out is not None and not searched:
        advice = kept_advice(RunDir(out).tune)
    resolved = resolve(
        source=dataset,
        space=False if searched else space,
        config_file=config,
        sets=sets or (),
        flags=flags,
        base=base,
        recommended=advice,
    )
    with ConsoleReporter() as reporter:
        say_origins(resolved)
        result = tune(
            resolved, searched=searched, out=out, storage=storage, resume=resume, reporter=reporter
        )
    _show(result, as_json)
    result.need_one()


def _held(searched: str) -> tuple[dict[str, Any], "list[Recommendation]"]:
    """The data and retrain settings of a searched run, and what of them was recommended."""
    from automtl.phases.retrain.plan import settings_of
    from automtl.runs.run_dir import one_phase

    if not Path(searched).is_dir():
        raise ConfigError(
            searched,
            "must be a searched run's folder for --over sharing",
            "none",
            "see `automtl runs list`",
        )
    return settings_of(one_phase(Path(searched), "search"))


def _show(result: "TuneResult", as_json: bool) -> None:
    from dataclasses import asdict

    from automtl.phases.tune.results import shown
    from automtl.runs.manifest import again, command

    if as_json:
        trials = [asdict(finding) for finding in result.findings]
        monitor = {"name": result.monitor.name, "more_is_better": result.monitor.more_is_better}
        head = {
            "folder": str(result.folder.path),
            "state": result.state,
            "monitor": monitor,
            "named": result.named,
        }
        print_json({**head, "trials": trials})
        return
    names = {
        number: ", ".join(name for name, other in result.named.items() if other == number)
        for number in result.named.values()
    }
    rows = [
        [
            str(f.number),
            f.state,
            "-" if f.loss is None else f"{shown(f.loss, result.monitor):.5f}",
            "-" if f.cost is None else f"{f.cost:.3g}",
            ", ".join(
                f"{name.partition('.')[2]} {_word(value)}" for name, value in f.values.items()
            ),
            names.get(f.number, ""),
        ]
        for f in result.findings
    ]
    if rows:
        table(
            f"trials ({result.state})",
            ("trial", "state", result.monitor.name, "cost, FLOPs", "values", ""),
            rows,
        )
    say(f"settings: {result.folder.config}")
    for name in result.named:
        say(f"{name}: {result.folder.path / f'{name}.yaml'}")
    if result.state != "done":
        say(f"to go on: {again(command(), result.folder.path.parent)}")


def _word(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
