"""`automtl search`: search an architecture on a data set."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automtl.cli._options import (
    AsJson,
    ConfigFile,
    DataDir,
    Deterministic,
    Device,
    FastDevRun,
    Full,
    OnNan,
    Out,
    Sets,
    ShowConfig,
    Space,
    Threads,
    Workers,
    absolute,
    by_workers,
    flags_of,
    goes_on,
)
from automtl.cli._search_screen import show
from automtl.cli.console import print_json, print_text, say_origins, table
from automtl.cli.progress import ConsoleReporter
from automtl.ranks import need_one_process

if TYPE_CHECKING:
    from automtl.phases.search import SearchResult

Dataset = Annotated[
    str, typer.Argument(help="A shipped data set's name, or a data set's YAML file.")
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        help="Random seed (weights, shuffling, dropout). The split has its own.",
        show_default="0",
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        "--budget",
        help="Budget of the search: 10m, 2h, 5e6rows or 2e13flops. It chooses the settings "
        "that --set and --config leave open.",
        show_default="3.5e13flops for a race that they leave open",
    ),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Continue the interrupted run at --out, with its own settings."),
]
TimeLimit = Annotated[
    str | None,
    typer.Option(
        "--time-limit", help="Stop after 30s, 10m or 2h, and derive from what was computed."
    ),
]
Plan = Annotated[
    bool,
    typer.Option(
        "--plan", help="Print what would be done and how long it would take; write nothing."
    ),
]
RequireDecided = Annotated[
    bool,
    typer.Option(
        "--require-decided",
        help="End with status 5 if no choice is decided; the run is kept.",
    ),
]


def run(
    dataset: Dataset,
    space: Space = None,
    config: ConfigFile = None,
    sets: Sets = None,
    seed: Seed = None,
    out: Out = None,
    data_dir: DataDir = None,
    budget: Budget = None,
    resume: Resume = False,
    time_limit: TimeLimit = None,
    device: Device = None,
    threads: Threads = None,
    workers: Workers = None,
    on_nan: OnNan = None,
    deterministic: Deterministic = False,
    fast_dev_run: FastDevRun = False,
    plan: Plan = False,
    require_decided: RequireDecided = False,
    show_config: ShowConfig = False,
    full: Full = False,
    as_json: AsJson = False,
) -> None:
    """Search an architecture on a data set.

    Example:
        automtl search census_income --space automtl_small
    """
    from automtl.config import resolve
    from automtl.runs.run_dir import RunDir

    advice, base = None, {}
    resume = goes_on(resume, out / "search" if out else None)
    if resume:
        from automtl.phases.search.resume import advice_of, own_base

        advice, base = advice_of(out), own_base(out)
    flags = flags_of(
        data_dir=data_dir,
        time_limit=time_limit,
        fast_dev_run=fast_dev_run,
        deterministic=deterministic,
        seed=seed,
        device=device,
        threads=threads,
        on_nan=on_nan,
    )
    resolved = resolve(
        source=absolute(dataset),
        space=space,
        config_file=config,
        sets=sets or (),
        flags=flags,
        base=base,
        recommended=advice,
    )
    if out is not None and not resume:
        RunDir.new(out, "")  # refused before torch is imported
    from automtl.phases.search import resumed, search
    from automtl.phases.search.budget import default_budget

    if resume and out is not None:
        resolved = resumed(out, resolved, budget=budget)
    if budget is None and not resume:
        budget = default_budget(resolved)
    if show_config:
        print_text(resolved.to_yaml())
        return
    if plan:
        need_one_process("--plan", workers)
        _plan(resolved, budget, as_json)
        return
    by_workers(workers, resolved, search=True)
    with ConsoleReporter() as reporter:
        say_origins(resolved)
        result = search(resolved, out=out, reporter=reporter, resume=resume, budget=budget)
    print_json(_plain(result)) if as_json else show(result, full=full)
    if require_decided:
        result.need_decided()


def _plain(result: "SearchResult") -> dict[str, Any]:
    return {
        "decided": result.decided,
        "decisions": result.decisions,
        **({"race": result.race} if result.race else {}),
        "run": str(result.run),
        "state": result.state,
        "epochs": result.epochs,
        "architecture": result.architecture.model_dump(),
    }


def _plan(resolved: object, budget: str | None, as_json: bool) -> None:
    from automtl.config import RunConfig
    from automtl.phases.search.plan import as_rows, plan_search
    from automtl.spaces.space import rounded

    assert isinstance(resolved, RunConfig)
    plan = plan_search(resolved, ConsoleReporter(), budget=budget)
    if as_json:
        print_json({**asdict(plan), "architectures": rounded(plan.architectures, 6)})
        return
    table("plan of the search", ("what", "value"), as_rows(plan))
