"""Searches and retrains by the commands' own code."""

import math
from collections.abc import Iterator, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from automtl.api._settings import Space, say_origins, space_of
from automtl.api.callbacks import Calling
from automtl.config import resolve
from automtl.data.access.paths import home
from automtl.errors import ConfigError
from automtl.phases.retrain import RetrainResult
from automtl.phases.retrain import retrain as _retrain
from automtl.phases.retrain.fan_out import ONE_BY_ONE, SideBySide, retrain_all
from automtl.phases.retrain.plan import RetrainPlan, plan_retrain
from automtl.phases.search import resumed
from automtl.phases.search import search as _search
from automtl.phases.search.budget import RULE, default_budget
from automtl.phases.search.resume import advice_of, own_base
from automtl.phases.search.state import SearchResult
from automtl.spaces.architecture import Architecture


def searched(
    source: str,
    space: Space | None,
    flags: dict[str, Any],
    *,
    out: Path | None,
    budget: str | float | None,
    resume: bool,
    reporter: Calling,
) -> SearchResult:
    """Search a space on the data set of a name or path."""
    if budget is not None and not isinstance(budget, str):
        budget = _in_seconds(budget)
    advice, base = (advice_of(out), own_base(out)) if resume else (None, {})
    name, flags = space_of(space, flags)
    config = resolve(source=source, space=name, flags=flags, base=base, recommended=advice)
    if resume and out is not None:
        config = resumed(out, config, budget=budget)
    elif budget is None:
        budget = default_budget(config)
    say_origins(config, reporter)
    reporter.start("search")
    return _search(config, out=out, reporter=reporter, resume=resume, budget=budget)


def _in_seconds(budget: object) -> str:
    """A budget that a Python user gives as a number."""
    if isinstance(budget, bool) or not isinstance(budget, Real) or not 0 < float(budget) < math.inf:
        raise ConfigError("budget", f"{RULE}; or seconds as a number", repr(budget))
    return f"{budget}s"


def retrained(  # noqa: PLR0913 # what the command's options say
    source: str | Path | Architecture,
    data: str | None,
    flags: dict[str, Any],
    *,
    sharing: str | None,
    seeds: Sequence[int],
    out: Path | None,
    resume: bool,
    reporter: Calling,
    how: SideBySide = ONE_BY_ONE,
) -> Iterator[RetrainResult]:
    """Train an architecture from fresh weights, once per seed."""
    plan = plan_retrain(
        source if isinstance(source, Architecture) else home(source),
        data=data,
        sharing=sharing,
        config_file=None,
        sets=(),
        flags=flags,
        out=out,
        resume=resume,
    )
    say_origins(plan.config, reporter)
    if not hasattr(seeds, "__iter__"):
        raise ConfigError("seeds", "must be a list of seeds", repr(seeds), "such as seeds=range(3)")
    given: dict[str, Any] = {"run": plan.run, "label": plan.label, "own": plan.own}
    configs = plan.seeded(seeds)
    if not configs:
        raise ConfigError("seeds", "must hold a seed", "none", "for example seeds=[0, 1, 2]")
    if not how.here:
        yield from _side_by_side(plan, [config.seed for config in configs], how, resume, reporter)
        return
    for number, config in enumerate(configs):
        reporter.training(number, len(configs))
        reporter.say(f"training {plan.label}, seed {config.seed}, into {plan.run.path}")
        reporter.start("retrain")
        yield _retrain(plan.architecture, config, reporter=reporter, resume=resume, **given)


def _side_by_side(
    plan: RetrainPlan, seeds: Sequence[int], how: SideBySide, resume: bool, reporter: Calling
) -> Iterator[RetrainResult]:
    if reporter.calls:
        raise ConfigError(
            "callbacks",
            "must be left out where seeds are trained in other processes",
            f"jobs={how.jobs}",
            "leave out jobs and engine",
        )
    trained = retrain_all(plan, seeds, how, resume=resume, reporter=reporter)
    if trained.failures:
        raise trained.failures[0]
    yield from trained.results
