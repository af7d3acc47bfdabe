"""Searches and retrains from Python, by the commands' own code."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from automtl.api._progress import Listening
from automtl.api._settings import Data, Space, flags_of, path_of, source_of
from automtl.api._training import retrained, searched
from automtl.api._wording import speaks_python
from automtl.api.models import Models
from automtl.api.results import Search, acting_search
from automtl.phases.retrain.fan_out import side_by_side
from automtl.phases.run.reporter import Reporter
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
            "5e6rows" or "2e13flops"; it settles what `settings` leave open. Default "3.5e13flops"
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
