"""Searches and retrains by the commands' own code, with whatever Python users give as data."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from automtl.api.callbacks import Calling
from automtl.api.dataset import Dataset
from automtl.config import RunConfig, merge, resolve
from automtl.data.access.paths import home
from automtl.data.prepare.frames import keep_frame
from automtl.data.spec.dataset import DatasetConfig, default_data_dir, load_dataset
from automtl.errors import ConfigError
from automtl.phases.retrain import RetrainResult
from automtl.phases.retrain import retrain as _retrain
from automtl.phases.retrain.fan_out import ONE_BY_ONE, SideBySide, retrain_all
from automtl.phases.retrain.plan import RetrainPlan, plan_retrain
from automtl.phases.run.reporter import Reporter
from automtl.phases.search import resumed
from automtl.phases.search import search as _search
from automtl.phases.search.budget import default_budget
from automtl.phases.search.resume import advice_of
from automtl.phases.search.state import SearchResult
from automtl.spaces.architecture import Architecture

Data = str | Path | Dataset | DatasetConfig | Mapping[str, Any]
Space = str | Path | Mapping[str, Any]


def path_of(path: str | Path | None) -> Path | None:
    """A path in full; None as it is."""
    return None if path is None else Path(home(path))


def say_origins(config: RunConfig, reporter: Reporter) -> None:
    """Tell whose settings are in force that the caller did not give."""
    if config.told:
        reporter.say(config.told)


def flags_of(
    settings: Mapping[str, Any],
    data: Any = None,
    data_dir: str | Path | None = None,
) -> dict[str, Any]:
    """Settings as a configuration has them, with the folder of data."""
    if data_dir is None and isinstance(data, Dataset):
        data_dir = data.data_dir
    folder = {} if data_dir is None else {"data": {"dir": str(Path(home(data_dir)).resolve())}}
    return merge(settings, folder)


def source_of(dataset: Data, frame: pd.DataFrame | None, settings: Mapping[str, Any]) -> str:
    """The name or path that a run's configuration holds."""
    if isinstance(dataset, Dataset):
        if frame is not None:
            raise ConfigError("frame", "must not be given beside a Dataset", "both", "leave it out")
        return dataset.source
    if frame is None and isinstance(dataset, str | Path):
        path = home(dataset)
        return str(Path(path).resolve()) if Path(path).exists() else path
    if frame is None:
        raise ConfigError(
            "data",
            "must be a Dataset, a YAML file or a shipped name where no frame is given",
            type(dataset).__name__,
            "make one by automtl.Dataset.from_frame",
        )
    config = load_dataset(dataset) if isinstance(dataset, str | Path) else dataset
    folder = settings.get("data", {}).get("dir")
    return str(keep_frame(frame, config, data_dir=Path(folder) if folder else default_data_dir()))


def space_of(space: Space | None, flags: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """A space's name or path, and the flags with changes to one."""
    if isinstance(space, Mapping):
        return None, merge(flags, {"space": dict(space)})
    return (None if space is None else home(space)), flags


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
        budget = f"{budget}s"
    advice = advice_of(out) if resume else None
    name, flags = space_of(space, flags)
    config = resolve(source=source, space=name, flags=flags, recommended=advice)
    if resume and out is not None:
        config = resumed(out, config, given=True, budget=budget)
    elif budget is None:
        budget = default_budget(config)
    say_origins(config, reporter)
    reporter.start("search")
    return _search(config, out=out, reporter=reporter, resume=resume, budget=budget)


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
