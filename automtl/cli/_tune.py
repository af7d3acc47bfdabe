"""`automtl tune`: a study of the search budget, or of the sharing module."""

import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automtl.cli._options import (
    AsJson,
    ConfigFile,
    DataDir,
    Device,
    FastDevRun,
    Full,
    Out,
    Sets,
    ShowConfig,
    Space,
    Threads,
    absolute,
    flags_of,
    whole_path,
)
from automtl.cli.console import listed, print_json, print_text, say, say_command, say_origins, table
from automtl.cli.progress import ConsoleReporter
from automtl.errors import ConfigError

if TYPE_CHECKING:
    from automtl.config_layers import Recommendation
    from automtl.phases.tune import TuneResult

MOST_TRIALS = 6  # on one screen
_STATES = {"complete": "complete", "pruned": "pruned", "fail": "failed"}

Source = Annotated[
    str,
    typer.Argument(
        help="A data set's name or YAML file; with --over sharing a searched run's folder."
    ),
]
Trials = Annotated[
    int | None,
    typer.Option(
        "--trials",
        help="Total number of trials, including earlier runs of this study.",
        show_default="20",
    ),
]
Over = Annotated[
    str | None,
    typer.Option("--over", help="What varies: budget or sharing.", show_default="budget"),
]
Objective = Annotated[
    str | None, typer.Option("--objective", help="loss, or loss_and_cost.", show_default="loss")
]
Storage = Annotated[
    str | None,
    typer.Option("--storage", help="A database's URL.", show_default="SQLite in the run's folder"),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", help="Random seed (suggestions, weights, shuffling).", show_default="0"),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Take part in the study at --out, stopped or running.")
]
TimeLimit = Annotated[
    str | None,
    typer.Option("--time-limit", help="Stop after 30s, 10m or 2h; --resume goes on."),
]


def run(
    source: Source,
    trials: Trials = None,
    over: Over = None,
    objective: Objective = None,
    storage: Storage = None,
    space: Space = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    out: Out = None,
    data_dir: DataDir = None,
    resume: Resume = False,
    time_limit: TimeLimit = None,
    device: Device = None,
    threads: Threads = None,
    fast_dev_run: FastDevRun = False,
    show_config: ShowConfig = False,
    full: Full = False,
    as_json: AsJson = False,
) -> None:
    """Find the best search budget, or the best sharing module, in a study of short trials.

    Each trial is a short search and a short retrain; poor ones are stopped early.

    Examples:
        automtl tune census_income --space automtl_small --trials 12
        automtl tune census_income --space automtl_small --objective loss_and_cost --out \
            runs/front
        automtl tune runs/census_income-automtl_small-1 --over sharing
    """
    from automtl.config import resolve
    from automtl.phases.run.resume import need_plugins
    from automtl.phases.run.run_data import kept_advice
    from automtl.phases.tune import tune
    from automtl.runs.run_dir import RunDir

    if resume and out is not None:  # before its space is looked up, which may need them
        need_plugins(RunDir(out).tune)
    flags = flags_of(
        data_dir=whole_path(data_dir),
        time_limit=time_limit,
        fast_dev_run=fast_dev_run,
        seed=seed,
        device=device,
        threads=threads,
    )
    flags["tune"] = {"trials": trials, "over": over, "objective": objective}
    searched = source if over == "sharing" else None
    base, advice = ({}, None) if searched is None else _own_settings(searched)
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
    if show_config:
        print_text(resolved.to_yaml())
        return
    with ConsoleReporter() as reporter:
        say_origins(resolved)
        result = tune(
            resolved, searched=searched, out=out, storage=storage, resume=resume, reporter=reporter
        )
    _show(result, source, as_json=as_json, full=full)
    result.need_one()


def _own_settings(searched: str) -> tuple[dict[str, Any], "list[Recommendation]"]:
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


def _show(result: "TuneResult", source: str, *, as_json: bool, full: bool) -> None:
    from dataclasses import asdict

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
        print_json({**head, "remarks": result.remarks, "trials": trials})
        return
    for line in result.remarks:
        say(line)
    _trials(result, full)
    say(f"settings: {result.folder.config}")
    if result.state != "done":
        say_command("to go on", again(command(), result.folder.path.parent))
    elif "best" in result.named:
        say(f"ready settings: {listed(f'{name}.yaml' for name in result.named)} in the same folder")
        say_command("next", _command(result, source))


def _trials(result: "TuneResult", full: bool) -> None:
    """The trials in a table: all in their order, or the best first as far as a screen goes."""
    roles = {
        number: ", ".join(name for name, other in result.named.items() if other == number)
        for number in result.named.values()
    }
    best_first = sorted(result.findings, key=lambda f: (f.loss is None, f.loss or 0.0, f.number))
    trials = (
        result.findings
        if full
        else [f for i, f in enumerate(best_first) if i < MOST_TRIALS or f.number in roles]
    )
    rows = [
        [
            str(f.number),
            f.state,
            "-" if f.loss is None else f"{result.monitor.shown(f.loss):.5f}",
            "-" if f.cost is None else f"{f.cost:.3g}",
            roles.get(f.number, "-"),
            ", ".join(
                f"{name.partition('.')[2]} {_word(value)}" for name, value in f.values.items()
            ),
        ]
        for f in trials
    ]
    if result.constant is not None:
        shown = f"{result.monitor.shown(result.constant):.5f}"
        rows.append(["-", "constant", shown, "-", "-", "the training rows' base rates"])
    states = Counter(f.state for f in result.findings)
    counts = ", ".join(f"{count} {_STATES[state]}" for state, count in states.items())
    left = len(result.findings) - len(trials)
    more = f"; best first, {left} more with --full" if left else ""
    if rows:
        header = ("trial", "state", result.monitor.name, "FLOPs", "role", "values")
        table(f"trials ({result.state}: {counts}{more})", header, rows)


def _command(result: "TuneResult", source: str) -> str:
    """The command that takes the best settings."""
    best = next(f for f in result.findings if f.number == result.named["best"])
    file = str(result.folder.path / "best.yaml")
    if (kind := best.values.get("sharing.kind")) is not None:
        return shlex.join(["automtl", "retrain", source, "--sharing", str(kind), "--config", file])
    return shlex.join(["automtl", "search", source, "--config", file])


def _word(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
