"""`automtl benchmark`: a table of trained architectures for a data set."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automtl.cli._options import (
    AsJson,
    ConfigFile,
    DataDir,
    Device,
    Jobs,
    Sets,
    Space,
    absolute,
    flags_of,
    whole_path,
)
from automtl.cli.console import print_json, say, say_origins, table
from automtl.cli.progress import ConsoleReporter
from automtl.errors import ConfigError, counted

if TYPE_CHECKING:
    from automtl.phases.benchmark.run import Forecast, TableResult

HandMade = Annotated[
    str | None,
    typer.Option(
        "--hand-made",
        help="Hand-made models to include, separated by commas; 'none' for none.",
        show_default="six of them",
    ),
]
RowsFrom = Annotated[
    list[Path] | None,
    typer.Option(
        "--rows",
        help="A table of the same plan, whose trainings are reused; repeatable.",
        show_default=False,
    ),
]

Source = Annotated[str, typer.Argument(help="A data set's name or YAML file.")]
Epochs = Annotated[
    int,
    typer.Option("--epochs", min=1, help="Epochs of every training; the B rows pick the best one."),
]
FitRows = Annotated[
    int | None,
    typer.Option("--fit-rows", min=2, help="Number of fit rows to train on.", show_default="all"),
]
JudgedRows = Annotated[
    int,
    typer.Option("--judged-rows", min=2, help="Largest number of rows of A, B and validation."),
]
Architectures = Annotated[
    int,
    typer.Option(
        "--architectures", min=2, help="Architectures, drawn evenly over the interactions."
    ),
]
Pilot = Annotated[
    int,
    typer.Option("--pilot", min=2, help="How many to train first, with two seeds each: the gate."),
]
Sample = Annotated[
    int | None,
    typer.Option(
        "--sample", min=1, help="Train only this many, with one seed each.", show_default=False
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="The table's folder; it must not exist yet.", show_default=False),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume", help="Continue the table at --out, or help the process that makes it."
    ),
]
Anyway = Annotated[
    bool,
    typer.Option("--anyway", help="Continue even if the gate says that this data set cannot rank."),
]
Plan = Annotated[
    bool, typer.Option("--plan", help="Estimate the cost from a few timed steps, and stop.")
]
Threads = Annotated[int, typer.Option("--threads", min=1, help="CPU threads of each training.")]


def run(
    source: Source,
    space: Space = None,
    epochs: Epochs = 10,
    fit_rows: FitRows = None,
    judged_rows: JudgedRows = 12_000,
    architectures: Architectures = 96,
    pilot: Pilot = 24,
    sample: Sample = None,
    hand_made: HandMade = None,
    config: ConfigFile = None,
    sets: Sets = None,
    out: Out = None,
    rows: RowsFrom = None,
    resume: Resume = False,
    anyway: Anyway = False,
    plan: Plan = False,
    data_dir: DataDir = None,
    device: Device = None,
    threads: Threads = 1,
    jobs: Jobs = 1,
    as_json: AsJson = False,
) -> None:
    """Train many architectures of a space on one data set, for a table to judge searches by.

    It first says how long that takes. A pilot comes first: where seeds differ more than
    architectures do, the table could not rank them.

    Examples:
        automtl benchmark census_income --space automtl_small --plan
        automtl benchmark census_income --space automtl_small --epochs 1 --sample 4 --out \
            runs/table
    """
    from automtl.config import resolve
    from automtl.phases.benchmark.run import Benchmark
    from automtl.phases.benchmark.settings import TableSettings
    from automtl.strict import build

    given = {
        "epochs": epochs,
        "fit_rows": fit_rows,
        "judged_rows": judged_rows,
        "architectures": architectures,
        "pilot": pilot,
        "sample": sample,
        "hand_made": _names(hand_made),
    }
    if out is None and not plan:
        raise ConfigError(
            "--out",
            "must name the table's folder",
            "none",
            "for example --out runs/table; or --plan to see what it takes",
        )
    resolved = resolve(
        source=absolute(source),
        space=space,
        config_file=config,
        sets=sets or (),
        flags=flags_of(data_dir=whole_path(data_dir), device=device, threads=threads),
        hand_made=True,
    )
    with ConsoleReporter() as reporter:
        say_origins(resolved)
        benchmark = Benchmark(resolved, build(TableSettings, given, "benchmark"), reporter)
        if out is None or plan:
            _show_plan(benchmark.forecast(), as_json)
            return
        result = benchmark.run(
            out, resume=resume, anyway=anyway, rows_from=rows or (), processes=jobs
        )
    _show(result, as_json)


def _names(hand_made: str | None) -> tuple[str, ...]:
    """The hand-made models that an option names."""
    from automtl.phases.benchmark.settings import HAND_MADE

    if hand_made is None:
        return HAND_MADE
    return () if hand_made == "none" else tuple(hand_made.split(","))


def _show_plan(forecast: "Forecast", as_json: bool) -> None:
    from automtl.phases.benchmark.estimate import duration

    if as_json:
        print_json({**asdict(forecast), "total_seconds": forecast.total})
        return
    lines = [
        (name, str(count), duration(forecast.seconds[name]))
        for name, count in forecast.trainings.items()
    ]
    total = str(sum(forecast.trainings.values()))
    lines.append(("all", total, duration(forecast.total)))
    table(
        "trainings, and their time in one process on this machine",
        ("part", "trainings", "about"),
        lines,
    )
    say("rows: " + ", ".join(f"{role} {count:,}" for role, count in forecast.rows.items()))


def _show(result: "TableResult", as_json: bool) -> None:
    import automtl.benchmarks
    from automtl.phases.benchmark.summary import summary_rows

    path = result.folder / "table.parquet"
    if as_json:
        verdict = (
            None
            if result.verdict is None
            else {**asdict(result.verdict), "passed": result.verdict.passed}
        )
        print_json(
            {
                "table": str(path),
                "trainings": result.trainings,
                "of": result.of,
                "finished": result.finished,
                "verdict": verdict,
            }
        )
        return
    frame = automtl.benchmarks.load(path)
    header = ("stratum or model", "architectures", "MTL-Loss, mean", "best", "seconds")
    table("validation rows; sealed architectures left out", header, summary_rows(frame))
    if result.verdict is not None:
        say(result.verdict.words)
    say(f"{result.trainings:,} of {counted(result.of, 'training')}, in {path}")
    if not result.finished:
        say("the gate has stopped it; --resume --anyway trains the rest all the same")
