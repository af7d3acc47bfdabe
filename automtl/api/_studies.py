"""Studies from Python, by the command's own code."""

from pathlib import Path
from typing import Any

import pandas as pd

from automtl.api._progress import Listening
from automtl.api._settings import (
    Data,
    Space,
    flags_of,
    path_of,
    runtime_of,
    say_origins,
    source_of,
    space_of,
)
from automtl.api._wording import speaks_python
from automtl.api.answers import Answer
from automtl.api.results import Search
from automtl.config import RunConfig, resolve
from automtl.config_layers import merge
from automtl.data.access.paths import home
from automtl.errors import ConfigError
from automtl.phases.retrain.plan import settings_of
from automtl.phases.run.reporter import Reporter
from automtl.phases.run.resume import need_plugins
from automtl.phases.run.run_data import kept_advice
from automtl.phases.tune import TuneResult
from automtl.phases.tune import tune as _tune
from automtl.runs.run_dir import PhaseDir, RunDir, one_phase


@speaks_python
def tune(  # noqa: PLR0913 # what the command's options say
    source: Data | Search,
    *,
    over: str | None = None,
    trials: int | None = None,
    objective: str | None = None,
    space: Space | None = None,
    storage: str | None = None,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    time_limit: str | float | None = None,
    resume: bool = False,
    verbose: bool | None = None,
    reporter: Reporter | None = None,
    **settings: Any,
) -> Answer:
    """A study of the search budget, each trial a short search and a short retrain; or of the
    sharing module, each trial a retrain of what a search found.

    >>> study = automtl.tune(
    ...     data, space="automtl_small", trials=2, out="runs/study", runtime={"fast_dev_run": True}
    ... )
    >>> study.frame[["trial", "state"]].values.tolist()
    [[0, 'complete'], [1, 'complete']]

    Args:
        source: the data set, as in `search`; with ``over="sharing"`` a search, or its run's folder.
        over: what varies: "budget" (the default) or "sharing".
        trials: of the whole study; default 20.
        objective: "loss" (the default) or "loss_and_cost".
        space: see `search`.
        storage: a database's URL; default SQLite in the run's folder.
        out: the run's folder; it must not exist. Default runs/<dataset>-tune-<n>.
        data_dir: folder of raw and prepared data.
        time_limit: stop after so long ("30s", "10m", "2h", or seconds); `resume` goes on.
        resume: take part in the study at `out`, stopped or running.
        verbose: whether to show progress; default in terminals and notebooks.
        reporter: told how it goes on, in place of a bar.
        settings: sections of the configuration.

    Raises:
        NoResult: no trial is complete.
    """
    given = {"trials": trials, "over": over, "objective": objective}
    asked = {name: value for name, value in given.items() if value is not None}
    given_too = {"tune": asked, "runtime": runtime_of(time_limit)}
    flags = flags_of(merge(settings, given_too), source, data_dir)
    begun = RunDir(Path(home(out))).tune if resume and out is not None else None
    if begun is not None:  # before its space is looked up, which may need them
        need_plugins(begun)
    run = _searched(source, over)
    if run is not None:
        config = _sharing_config(run, flags)
    else:
        assert not isinstance(source, Search), "a study of the budget is of a data set"
        name, flags = space_of(space, flags)
        advice = None if begun is None else kept_advice(begun)
        data = source_of(source, None, flags)
        config = resolve(source=data, space=name, flags=flags, recommended=advice)
    with Listening(verbose, reporter) as listener:
        say_origins(config, listener)
        result = _tune(
            config,
            searched=None if run is None else str(run.run),
            out=path_of(out),
            storage=storage,
            resume=resume,
            reporter=listener,
        )
    result.need_one()
    return _study(result)


def _sharing_config(run: PhaseDir, flags: dict[str, Any]) -> RunConfig:
    """The settings of a study of sharing modules: those of the search's own retrains."""
    base, advice = settings_of(run)
    data = base["data"]["source"]
    return resolve(source=data, space=False, flags=flags, base=base, recommended=advice)


def _searched(source: Data | Search, over: str | None) -> PhaseDir | None:
    """The search whose experts a study of sharing modules shares; None for a study of the budget.

    Raises:
        ConfigError: `source` is none.
    """
    if over != "sharing":
        if isinstance(source, Search):
            raise ConfigError("source", "must be a data set", "a search", 'or give over="sharing"')
        return None
    if isinstance(source, Search):
        return one_phase(source.run, "search")
    if not isinstance(source, str | Path) or not Path(home(source)).is_dir():
        raise ConfigError("source", 'must be a search, or its folder, for over="sharing"', source)
    return one_phase(Path(home(source)), "search")


def _study(result: TuneResult) -> Answer:
    """A study as an answer."""
    rows = [
        {
            "trial": f.number,
            "state": f.state,
            result.monitor.name: None if f.loss is None else result.monitor.shown(f.loss),
            "cost, FLOPs": f.cost,
            **f.values,
            "named": ", ".join(name for name, number in result.named.items() if number == f.number),
        }
        for f in result.findings
    ]
    said = [*result.remarks]
    if result.constant is not None:
        shown = result.monitor.shown(result.constant)
        said.append(f"the constant: validation {result.monitor.name} {shown:.5f}")
    said += [f"{name}: {result.folder.path / f'{name}.yaml'}" for name in result.named]
    return Answer(f"trials ({result.state})", pd.DataFrame(rows), said, source=result)
