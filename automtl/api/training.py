"""Searches, retrains and studies from Python, by the commands' own code."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from automtl.api._progress import Listening
from automtl.api._training import (
    Data,
    Space,
    flags_of,
    path_of,
    retrained,
    say_origins,
    searched,
    source_of,
    space_of,
)
from automtl.api._wording import speaks_python
from automtl.api.answers import Answer
from automtl.api.results import Models, Search, acting_search
from automtl.config import merge, resolve
from automtl.data.access.paths import home
from automtl.errors import ConfigError
from automtl.phases.retrain.fan_out import side_by_side
from automtl.phases.retrain.plan import settings_of
from automtl.phases.run.duration import seconds
from automtl.phases.run.reporter import Reporter
from automtl.phases.run.resume import need_plugins
from automtl.phases.run.run_data import kept_advice
from automtl.phases.tune import TuneResult
from automtl.phases.tune import tune as _tune
from automtl.runs.run_dir import PhaseDir, RunDir, one_phase
from automtl.spaces.architecture import Architecture


@speaks_python
def search(  # noqa: PLR0913 # what the command's options say
    dataset: Data,
    *,
    frame: pd.DataFrame | None = None,
    space: Space | None = None,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    budget: str | float | None = None,
    resume: bool = False,
    verbose: bool | None = None,
    reporter: Reporter | None = None,
    callbacks: Sequence[Any] = (),
    **settings: Any,
) -> Search:
    """Search an architecture on a data set.

    >>> found = automtl.search(data, space="automtl_small", out="runs/found", budget="60000rows")
    >>> found.state
    'done'

    Args:
        dataset: a `Dataset`; a shipped data set's name, or the path of a data set's YAML file; with
            a frame also its settings themselves.
        frame: the rows, in place of the data set's files; kept below the data folder.
        space: a shipped space's name, a path, or changes to one: ``{"base": "automtl_small",
            "num_experts": 6}``; default "automtl".
        out: the run's folder; it must not exist. Default runs/<dataset>-<space>-<n>.
        data_dir: folder of raw and prepared data, as ``data={"dir": ...}`` says it too; default the
            data set's, else the user's cache folder.
        budget: what the search and its race may cost: "10m" or "2h" (or seconds) on this machine,
            "5e6rows" or "2e13flops"; it settles what `settings` leave open. Default "1e13flops"
            for a race of which they say nothing.
        resume: go on with the interrupted run at `out`, called with the same settings.
        verbose: whether to show progress; default in terminals and notebooks.
        reporter: told how it goes on, in place of a bar.
        callbacks: see `Callback`; they may read and stop.
        settings: sections of the configuration, such as ``search={"race_seeds": 5}`` or ``seed=1``.

    Raises:
        AutoMTLError: see ``automtl.errors``.
    """
    flags = flags_of(settings, dataset, data_dir)
    with Listening(verbose, reporter, callbacks) as listener:
        result = acting_search(
            searched(
                source_of(dataset, frame, flags),
                space,
                flags,
                out=path_of(out),
                budget=budget,
                resume=resume,
                reporter=listener,
            )
        )
        listener.end(result)
    return result


@speaks_python
def retrain(  # noqa: PLR0913 # what the command's options say
    source: str | Path | Search | Architecture,
    data: Data | None = None,
    *,
    frame: pd.DataFrame | None = None,
    sharing: str | None = None,
    seeds: Sequence[int] = (0,),
    jobs: int = 1,
    engine: str = "local",
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    resume: bool = False,
    verbose: bool | None = None,
    reporter: Reporter | None = None,
    callbacks: Sequence[Any] = (),
    **settings: Any,
) -> Models:
    """Train an architecture from fresh weights, once per seed.

    >>> models = automtl.retrain(found, seeds=[2])
    >>> plain = automtl.retrain("shared_bottom", data, seeds=range(2), out="runs/plain")
    >>> plain.labels
    ['shared_bottom-s0', 'shared_bottom-s1']

    Args:
        source: a search or its run's folder, an architecture file, or a shipped architecture's
            name.
        data: the data set, as in `search`; a searched run knows its own.
        frame: the rows, in place of the data set's files; kept below the data folder.
        sharing: another sharing kind to plug in.
        seeds: of the models.
        jobs: how many are trained at a time, each in a process of its own; a script needs
            ``if __name__ == "__main__":`` around the call. Then there are no callbacks.
        engine: who trains them: "local", "dask", "dask:ADDRESS", "slurm" or
            "slurm:NAME=VALUE,...".
        out: the run's folder for a hand-made model.
        data_dir: folder of raw and prepared data; default a searched run's own, else the data
            set's, else the user's cache folder.
        resume: go on with the interrupted retrains of the run, called with the same settings; those
            that have ended are not run again.
        verbose: whether to show progress; default in terminals and notebooks.
        reporter: told how it goes on, in place of a bar.
        callbacks: see `Callback`; they may read and stop.
        settings: sections of the configuration, such as ``retrain={"epochs": 10}``.

    Raises:
        AutoMTLError: see ``automtl.errors``.
    """
    flags, how = flags_of(settings, data, data_dir), side_by_side(jobs, engine)
    with Listening(verbose, reporter, callbacks) as listener:
        return Models.trained(
            retrained(
                source.run if isinstance(source, Search) else source,
                None if data is None else source_of(data, frame, flags),
                flags,
                sharing=sharing,
                seeds=seeds,
                out=path_of(out),
                resume=resume,
                reporter=listener,
                how=how,
            ),
            listener,
        )


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
    limit = None if time_limit is None else seconds(str(time_limit), "time_limit")
    given_too = {"tune": asked, "runtime": {} if limit is None else {"time_limit_s": limit}}
    flags = flags_of(merge(settings, given_too), source, data_dir)
    if resume and out is not None:  # before its space is looked up, which may need them
        need_plugins(RunDir(Path(home(out))).tune)
    searched_run = _searched(source, over)
    if searched_run is not None:
        base, advice = settings_of(searched_run)
        config = resolve(
            source=base["data"]["source"], space=False, flags=flags, base=base, recommended=advice
        )
    else:
        assert not isinstance(source, Search), "a study of the budget is of a data set"
        name, flags = space_of(space, flags)
        begun = kept_advice(RunDir(Path(home(out))).tune) if resume and out is not None else None
        config = resolve(
            source=source_of(source, None, flags), space=name, flags=flags, recommended=begun
        )
    with Listening(verbose, reporter) as listener:
        say_origins(config, listener)
        result = _tune(
            config,
            searched=None if searched_run is None else str(searched_run.path.parent),
            out=path_of(out),
            storage=storage,
            resume=resume,
            reporter=listener,
        )
    result.need_one()
    return _study(result)


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
    said = [f"{name}: {result.folder.path / f'{name}.yaml'}" for name in result.named]
    return Answer(f"trials ({result.state})", pd.DataFrame(rows), said, source=result)
