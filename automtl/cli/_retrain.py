"""`automtl retrain`: train an architecture, searched or hand-made."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automtl.cli._models import CONSTANT, LOSS, Row, beside_constant, measured, print_models
from automtl.cli._options import (
    AsJson,
    ConfigFile,
    DataDir,
    Deterministic,
    Device,
    EngineOption,
    FastDevRun,
    Jobs,
    OnNan,
    Out,
    Sets,
    ShowConfig,
    Threads,
    Workers,
    by_workers,
    flags_of,
    goes_on,
    seed_list,
    whole_path,
)
from automtl.cli.console import print_json, print_text, say, say_command, say_origins
from automtl.cli.progress import ConsoleReporter
from automtl.errors import ConfigError, counted
from automtl.ranks import need_one_process

if TYPE_CHECKING:
    from automtl.phases.retrain import RetrainResult
    from automtl.phases.retrain.fan_out import Trained
    from automtl.phases.retrain.plan import RetrainPlan

Source = Annotated[
    str | None,
    typer.Argument(
        help="A searched run's folder, an architecture file, or a hand-made model's name.",
        show_default=False,
    ),
]
Data = Annotated[
    str | None,
    typer.Option("--data", help="The data set; a searched run knows its own.", show_default=False),
]
FromRun = Annotated[
    Path | None,
    typer.Option(
        "--from",
        help="An older retrain whose embeddings are kept; its vocabularies may grow.",
        show_default=False,
    ),
]
Sharing = Annotated[
    str | None,
    typer.Option("--sharing", help="Plug in another sharing kind.", show_default="its own"),
]
Seeds = Annotated[str, typer.Option("--seeds", help="Seeds of the models: 0, 0,3,7 or 0..4.")]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Continue the interrupted run at --out."),
]


def run(
    source: Source = None,
    data: Data = None,
    from_run: FromRun = None,
    sharing: Sharing = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seeds: Seeds = "0",
    jobs: Jobs = 1,
    engine: EngineOption = "local",
    out: Out = None,
    data_dir: DataDir = None,
    resume: Resume = False,
    device: Device = None,
    threads: Threads = None,
    workers: Workers = None,
    on_nan: OnNan = None,
    deterministic: Deterministic = False,
    fast_dev_run: FastDevRun = False,
    show_config: ShowConfig = False,
    as_json: AsJson = False,
) -> None:
    """Train a searched or a hand-made architecture from fresh weights.

    The best epoch by validation MTL-Loss (or retrain.monitor) is kept.

    Examples:
        automtl retrain runs/census_income-automtl_small-1 --seeds 0..2
        automtl retrain mmoe --data census_income --seeds 0..1 --jobs 2
        automtl retrain --from runs/monday --data tuesday.yaml --out runs/tuesday
    """
    from automtl.phases.retrain.fan_out import retrain_all, side_by_side
    from automtl.phases.retrain.plan import plan_retrain

    how = side_by_side(jobs, engine)
    searched = Path(source) if source and Path(source).is_dir() else None
    resume = goes_on(resume, out or searched)
    flags = flags_of(
        data_dir=whole_path(data_dir),
        fast_dev_run=fast_dev_run,
        deterministic=deterministic,
        device=device,
        threads=threads,
        on_nan=on_nan,
    )
    numbers = seed_list(seeds)
    carry = grown = None
    if from_run is not None:
        need_one_process("retrain --from", workers)
        given_data = data
        source, data, carry = _grown(source, data, from_run, data_dir)
        # other processes open the older model themselves
        grown = (from_run, str(given_data), data_dir)
    if source is None:
        fix = "name a run, an architecture, or --from an older retrain"
        raise ConfigError("retrain", "must be told what to train", "nothing", fix)
    plan = plan_retrain(
        source,
        data=data,
        sharing=sharing,
        config_file=config,
        sets=sets or (),
        flags=flags,
        out=out,
        resume=resume,
    )
    if show_config:
        print_text(plan.config.to_yaml())
        return
    if not how.here:
        need_one_process("retrain --jobs", workers)
    by_workers(workers, plan.config, retrain=True)
    with ConsoleReporter() as reporter:
        say_origins(plan.config)
        if how.here:
            trained = _one_by_one(plan, numbers, reporter, carry=carry, resume=resume)
        else:
            message = f"{counted(len(numbers), 'seed')}, into {plan.run.path}"
            say(f"training {plan.label} on {plan.config.data.source}, {message}")
            trained = retrain_all(plan, numbers, how, resume=resume, reporter=reporter, grown=grown)
    if trained.results:
        _show(trained.results, as_json)
    if trained.failures:
        raise trained.failures[0]
    if not as_json:
        say_command("next", shlex.join(["automtl", "evaluate", str(plan.run.path)]))


def _one_by_one(
    plan: "RetrainPlan", seeds: "Sequence[int]", reporter: ConsoleReporter, **given: Any
) -> "Trained":
    """Train the seeds one after the other in this process."""
    from automtl.phases.retrain import retrain
    from automtl.phases.retrain.fan_out import Trained

    given |= {"run": plan.run, "label": plan.label, "own": plan.own}
    results = []
    for number, config in enumerate(plan.seeded(seeds)):
        reporter.training(number, len(seeds))
        say(
            f"training {plan.label} on {plan.config.data.source}, seed {config.seed}, into "
            f"{plan.run.path}"
        )
        results.append(retrain(plan.architecture, config, **given, reporter=reporter))
    return Trained(results, [])


def _show(results: "Sequence[RetrainResult]", as_json: bool) -> None:
    """Each model's validation metrics."""
    if as_json:
        print_json(
            [
                {
                    "folder": str(r.folder.path),
                    "best_epochs": r.best_epochs,
                    "loss": r.validation.loss,
                    "tasks": r.validation.tasks,
                }
                for r in results
            ]
        )
        return
    from automtl.phases.retrain.results import beside, constant_of, headlines, size_and_seconds

    metrics = [LOSS, *headlines(results[0].validation)]
    rows = [
        Row(
            r.folder.path.name,
            {
                LOSS: r.validation.loss_text,
                **{name: measured(v, None, 4) for name, v in headlines(r.validation).items()},
            },
            0,
            *size_and_seconds(r.folder),
            more={"best": ", ".join(str(e + 1) for e in r.best_epochs)},
        )
        for r in results
    ]
    if constant := constant_of(results[0].validation):
        figures = {m: measured(v, None, 5 if m == LOSS else 4) for m, v in constant.items()}
        rows.append(Row(CONSTANT, figures))
    print_models("validation rows, best epoch (test rows not read)", metrics, rows)
    if said := beside_constant({r.folder.path.name: beside(r.validation) for r in results}):
        say(said)


def _grown(
    source: str | None, data: str | None, from_run: Path, data_dir: Path | None
) -> tuple[str, str, Any]:
    """Architecture, data and the weights to carry over from an older retrain."""
    from automtl.phases.retrain.warm_start import open_older_model

    if data is None:
        raise ConfigError(
            "--data", "must name the new rows' data set", "none", "for example --data tuesday.yaml"
        )
    before = open_older_model(from_run, data, data_dir=data_dir)
    return source or before.architecture, str(before.data), before.carry
