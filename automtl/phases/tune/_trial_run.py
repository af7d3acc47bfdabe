"""One trial: a search where a study is of the search budget, then a retrain with every seed."""

from collections.abc import Callable
from typing import Any, Literal

import optuna

from automtl import files
from automtl.config import RunConfig
from automtl.config_tune import Value
from automtl.phases.retrain import retrain
from automtl.phases.retrain.plan import RetrainPlan, plan_retrain
from automtl.phases.retrain.results import constant_of
from automtl.phases.run.reporter import Reporter
from automtl.phases.run.run_data import snapshot_of
from automtl.phases.search import search
from automtl.phases.tune._ranges import KIND, trial_settings
from automtl.phases.tune._study import Claim
from automtl.runs.run_dir import PhaseDir, RunDir
from automtl.training.early_stopping import Monitor

Stage = Literal["search", "first retrain", "later retrain"]


def run_trial(
    config: RunConfig,
    folder: PhaseDir,
    searched: str | None,
    claim: Claim,
    *,
    watch: Callable[[Stage], Reporter],
    report: Callable[[float, int], bool],
) -> tuple[list[float], dict[str, Any]]:
    """Run one trial.

    Args:
        config: the study's settings.
        folder: of the study.
        searched: the run whose experts are shared, in a study of the sharing module.
        claim: the trial.
        watch: makes who is told how a stage goes on.
        report: takes a retrain's loss and number, and says whether the trial should be pruned.

    Returns:
        Per retrain seed the validation MTL-Loss, or what is monitored in its place, less being
        better; and what the trial cost.
    """
    run, settings = RunDir(claim.folder / "run"), trial_settings(config, claim.values)
    # no limit of time but the study's
    runtime = settings.runtime.model_copy(update={"time_limit_s": None})
    settings = settings.model_copy(update={"runtime": runtime})
    facts: dict[str, Any] = {}
    if searched is None:
        facts = _search(settings, run, snapshot_of(folder), watch("search"))
    plan = _plan(searched or str(run.path), settings, claim.values.get(KIND))
    machine = {"runtime": settings.runtime, "data": settings.data}
    monitor, losses = Monitor.of(config.retrain.monitor), list[float]()
    sign = -1 if monitor.more_is_better else 1
    seconds = 0.0
    for i in range(config.tune.seeds):
        model = retrain(
            plan.architecture,
            plan.config.model_copy(update={**machine, "seed": config.seed + i}),
            run=run,
            label=plan.label,
            reporter=watch("later retrain" if i else "first retrain"),
            resume=True,
            own=plan.own,
        )
        loss = monitor.cost(model.validation.line)
        assert loss is not None, "a retrain refuses what is undefined"
        losses.append(loss)
        if (constant := constant_of(model.validation).get(monitor.name)) is not None:
            facts["constant"] = sign * constant
        spent = files.read_json(model.folder.cost)
        seconds += spent["seconds"]
        facts.setdefault("cost", spent["model"]["flops_per_row"])
        last = i + 1 == config.tune.seeds
        if config.tune.pruner == "wilcoxon" and report(loss, i) and not last:
            raise optuna.TrialPruned
    return losses, {**facts, "retrain_seconds": seconds}


def _plan(source: str, settings: RunConfig, kind: Value | None) -> RetrainPlan:
    return plan_retrain(
        source,
        data=None,
        sharing=None if kind is None else str(kind),
        config_file=None,
        sets=(),
        flags={"retrain": settings.retrain.model_dump(mode="json")},
        out=None,
    )


def _search(settings: RunConfig, run: RunDir, own: Any, reporter: Reporter) -> dict[str, Any]:
    """Search, or go on with a search that was begun; what it cost."""
    begun = run.search.path.is_dir()
    if run.path.exists() and not begun:
        files.remove_folder(run.path)  # its process was killed before it had begun
    search(settings, out=run.path, reporter=reporter, resume=begun, own=own, announce=False)
    spent = files.read_json(run.search.cost)
    flops = spent.get("supernet", {}).get("flops_per_row", 0) * spent["samples"]
    if settings.search.selection == "race":  # most rows went through single models
        flops = spent["flops_spent"]
    return {"cost": flops, "search_seconds": spent["seconds"], "search_samples": spent["samples"]}
