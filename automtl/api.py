"""What Python users call, by the same code as the commands: ``automtl.search``, ``retrain``,
``predict`` and ``export``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from automtl.config import RunConfig, merge, resolve
from automtl.data.access.paths import home
from automtl.data.prepare.frames import keep_frame
from automtl.data.spec.dataset import DatasetConfig, default_data_dir, load_dataset
from automtl.errors import ConfigError
from automtl.phases.finished.export import ExportResult
from automtl.phases.finished.export import export as _export
from automtl.phases.finished.predict import predict_frame
from automtl.phases.retrain import RetrainResult
from automtl.phases.retrain import retrain as _retrain
from automtl.phases.retrain.plan import plan_retrain
from automtl.phases.run.session import Reporter
from automtl.phases.search import resumed
from automtl.phases.search import search as _search
from automtl.phases.search.budget import default_budget
from automtl.phases.search.start import advice_of
from automtl.phases.search.state import SearchResult


def search(
    dataset: str | Path | DatasetConfig | Mapping[str, Any],
    *,
    frame: pd.DataFrame | None = None,
    space: str | Path | Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    budget: str | None = None,
    resume: bool = False,
    reporter: Reporter | None = None,
    **settings: Any,
) -> SearchResult:
    """Search an architecture on a data set.

    >>> automtl.search("clicks.yaml", space="automtl_small", seed=1)  # doctest: +SKIP

    Args:
        dataset: a shipped data set's name, or the path of a data set's YAML file; with a frame also
            its settings themselves.
        frame: the rows, in place of the data set's files; kept below the data folder.
        space: a shipped space's name, a path, or changes to one: ``{"base": "automtl_small",
            "num_experts": 6}``; default "automtl".
        out: the run's folder; it must not exist. Default runs/<dataset>-<space>-<n>.
        data_dir: folder of raw and prepared data, as ``data={"dir": ...}`` says it too; default the
            user's cache folder.
        budget: what the search and its race may cost: "10m" or "2h" on this machine, "5e6rows" or
            "2e13flops"; it settles what `settings` leave open. Default 1e13flops for a race of
            which they say nothing.
        resume: go on with the interrupted run at `out`, called with the same settings.
        reporter: told how it goes on; default no one.
        settings: sections of the configuration, such as ``search={"epochs": 3}`` or ``seed=1``.

    Raises:
        AutoMTLError: see ``automtl.errors``.
    """
    folder = _path(out)
    advice = advice_of(folder) if resume else None
    changes = {"space": dict(space)} if isinstance(space, Mapping) else {}
    name = home(space) if isinstance(space, str | Path) else None
    flags = merge({**settings, **changes}, _folder(data_dir))
    config = resolve(
        source=_source(dataset, frame, flags), space=name, flags=flags, recommended=advice
    )
    if resume and folder is not None:
        config = resumed(folder, config, given=True, budget=budget)
    _say_origins(config, reporter)
    if budget is None and not resume:
        budget = default_budget(config)
    return _search(config, out=folder, reporter=reporter, resume=resume, budget=budget)


def _say_origins(config: RunConfig, reporter: Reporter | None) -> None:
    """Whose settings are in force that the caller did not give."""
    if reporter is not None and config.told:
        reporter.say(config.told)


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(home(path))


def _folder(data_dir: str | Path | None) -> dict[str, Any]:
    """The folder of raw and prepared data as a setting."""
    return {} if data_dir is None else {"data": {"dir": str(Path(home(data_dir)).resolve())}}


def _source(
    dataset: str | Path | DatasetConfig | Mapping[str, Any],
    frame: pd.DataFrame | None,
    settings: Mapping[str, Any],
) -> str:
    """The name or path that a run's configuration holds."""
    if frame is None and isinstance(dataset, str | Path):
        path = home(dataset)
        return str(Path(path).resolve()) if Path(path).exists() else path
    if frame is None:
        raise ConfigError(
            "frame",
            "must be given where the data set is given as settings",
            "none",
            "or write them to a YAML file",
        )
    config = load_dataset(dataset) if isinstance(dataset, str | Path) else dataset
    folder = settings.get("data", {}).get("dir")
    return str(keep_frame(frame, config, data_dir=Path(folder) if folder else default_data_dir()))


def predict(
    run: str | Path,
    rows: Any,
    *,
    keep: Sequence[str] = (),
    device: str = "auto",
    reporter: Reporter | None = None,
) -> pd.DataFrame:
    """Predict on rows: a DataFrame with the kept columns and one column per task (``probs_click``,
    ``value_watch_time``).

    >>> automtl.predict("runs/first", frame, keep=["user_id"])  # doctest: +SKIP

    Args:
        run: a retrain folder, a run with one, or an export in ONNX.
        rows: a DataFrame of pandas (whose index the answer has) or polars, an Arrow table, a list
            of dicts or a dict of columns; columns that the model does not read are ignored; ids
            never seen in training are unknown ids.
        keep: columns to hand back.
        device: where to run.
        reporter: told what is ignored.

    Raises:
        AutoMTLError: see ``automtl.errors``.
    """
    return predict_frame(Path(home(run)), rows, keep=keep, device=device, reporter=reporter)


def export(
    run: str | Path,
    form: str = "onnx",
    *,
    out: str | Path | None = None,
    reporter: Reporter | None = None,
) -> ExportResult:
    """Hand a trained model over as a folder: the model, vocabularies and transforms, a README that
    scores a row, a model card.

    >>> automtl.export("runs/first", "onnx", out="served")  # doctest: +SKIP

    Args:
        run: a retrain folder, or a run with one.
        form: "onnx", "pt2" (torch.export) or "python" (one plain PyTorch file).
        out: the folder to write; it must not exist. Default: in the run, below export/.
        reporter: told what is done.

    Raises:
        AutoMTLError: see ``automtl.errors``.
    """
    return _export(Path(home(run)), form, out=_path(out), reporter=reporter)


def retrain(  # noqa: PLR0913 # what the command's options say
    source: str | Path,
    *,
    data: str | Path | DatasetConfig | Mapping[str, Any] | None = None,
    frame: pd.DataFrame | None = None,
    sharing: str | None = None,
    seeds: Sequence[int] = (0,),
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    resume: bool = False,
    reporter: Reporter | None = None,
    **settings: Mapping[str, Any],
) -> list[RetrainResult]:
    """Train an architecture from fresh weights, once per seed.

    >>> automtl.retrain("mmoe", data="census_income", seeds=[0, 1, 2])  # doctest: +SKIP

    Args:
        source: a searched run's folder, an architecture file, or a shipped architecture's name.
        data: the data set; a searched run knows its own. With a frame also its settings themselves.
        frame: the rows, in place of the data set's files; kept below the data folder.
        sharing: another sharing kind to plug in.
        seeds: of the models.
        out: the run's folder for a hand-made model.
        data_dir: folder of raw and prepared data; default a searched run's own, else the user's
            cache folder.
        resume: go on with the interrupted retrains of the run, called with the same settings; those
            that have ended are not run again.
        reporter: told how it goes on; default no one.
        settings: sections of the configuration, such as ``retrain={"epochs": 10}``.

    Raises:
        AutoMTLError: see ``automtl.errors``.
    """
    flags = merge(settings, _folder(data_dir))
    plan = plan_retrain(
        home(source),
        data=None if data is None else _source(data, frame, flags),
        sharing=sharing,
        config_file=None,
        sets=(),
        flags=flags,
        out=_path(out),
        resume=resume,
    )
    _say_origins(plan.config, reporter)
    given: dict[str, Any] = {
        "run": plan.run,
        "label": plan.label,
        "own": plan.own,
        "reporter": reporter,
        "resume": resume,
    }
    return [_retrain(plan.architecture, config, **given) for config in plan.seeded(seeds)]
