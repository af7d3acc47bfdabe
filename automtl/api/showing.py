"""Pictures, reports and descriptions from Python, by the commands' own code; and what a trained
model answers, and is handed over as.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from automtl import files
from automtl.api._progress import Listening
from automtl.api._training import Data, path_of, source_of
from automtl.api._wording import speaks_python
from automtl.api.answers import Answer
from automtl.api.dataset import Dataset
from automtl.api.judging import Runs, folder_of, folders_of
from automtl.api.results import Models
from automtl.data.access.paths import home
from automtl.data.describe import draft
from automtl.data.spec.dataset import is_table
from automtl.errors import ConfigError
from automtl.phases.finished.export import ExportResult
from automtl.phases.finished.export import export as _export
from automtl.phases.finished.predict import predict_frame
from automtl.phases.finished.show import alphas_picture, architecture_of, picture
from automtl.phases.finished.show import write_report as _write_report
from automtl.phases.run.reporter import Reporter
from automtl.report.drawing import render
from automtl.report.results import SelfShowing
from automtl.spaces.architecture import Architecture
from automtl.strict import parse_yaml


@speaks_python
def predict(
    run: Runs,
    rows: Any,
    *,
    keep: Sequence[str] = (),
    device: str = "auto",
    verbose: bool | None = None,
    reporter: Reporter | None = None,
) -> pd.DataFrame:
    """Predict on rows: a DataFrame with the kept columns and one column per task (``probs_click``,
    ``value_watch_time``).

    >>> automtl.predict(models[0], rows, keep=["user"]).columns.tolist()
    ['user', 'probs_click', 'probs_buy']

    Args:
        run: a trained model; a retrain folder, a run with one, or an export in ONNX. Of several
            models the best on the validation rows.
        rows: a DataFrame of pandas (whose index the answer has) or polars, an Arrow table, a list
            of dicts or a dict of columns; columns that the model does not read are ignored; ids
            never seen in training are unknown ids.
        keep: columns to hand back.
        device: where to run.
        verbose: whether to tell what is ignored; default in terminals and notebooks.
        reporter: told what is ignored.

    Raises:
        AutoMTLError: see ``automtl.errors``.
    """
    run = run.best if isinstance(run, Models) else run
    with Listening(verbose, reporter) as listener:
        return predict_frame(folder_of(run), rows, keep=keep, device=device, reporter=listener)


@speaks_python
def export(
    run: Runs,
    format: str = "onnx",
    *,
    out: str | Path | None = None,
    verbose: bool | None = None,
    reporter: Reporter | None = None,
) -> ExportResult:
    """Hand a trained model over as a folder: the model, vocabularies and transforms, a README that
    scores a row, a model card.

    >>> automtl.export(models[0], "python", out="handed_over").path.name
    'handed_over'

    Args:
        run: a trained model; a retrain folder, or a run with one. Of several models the best on the
            validation rows.
        format: "onnx", "pt2" (torch.export) or "python" (one plain PyTorch file).
        out: the folder to write; it must not exist. Default: in the run, below export/.
        verbose: whether to show progress; default in terminals and notebooks.
        reporter: told what is done.

    Raises:
        AutoMTLError: see ``automtl.errors``.
    """
    run = run.best if isinstance(run, Models) else run
    with Listening(verbose, reporter) as listener:
        return _export(folder_of(run), format, out=path_of(out), reporter=listener)


@speaks_python
def write_report(*runs: Runs, path: str | Path | None = None) -> Path:
    """Write one self-contained HTML report on runs, finished or not; gives the file.

    >>> automtl.write_report(found, plain, path="report.html").name
    'report.html'

    Args:
        runs: results, or paths of runs.
        path: the file to write; default report.html in the first run.
    """
    return _write_report(folders_of(*runs), path_of(path))


@speaks_python
def show(
    source: str | Path | Architecture | SelfShowing,
    what: str = "architecture",
    *,
    path: str | Path | None = None,
    data: Data | None = None,
    data_dir: str | Path | None = None,
) -> Figure:
    """A picture of an architecture, or of a search's alphas, as a matplotlib figure and, with a
    path, as a file.

    >>> type(automtl.show("mmoe", path="mmoe.svg")).__name__
    'Figure'

    Args:
        source: an architecture or its file, a result, a run's folder, a hand-made model's name.
        what: "architecture" or "alphas".
        path: the file to write: .png, .svg or .pdf.
        data: a data set to bind the architecture to, for the costs of all parts.
        data_dir: folder of raw and prepared data.
    """
    if what not in ("architecture", "alphas"):
        raise ConfigError("what", "must be architecture or alphas", what)
    if what == "alphas":
        place = source.home if isinstance(source, SelfShowing) else source
        if isinstance(place, Architecture):
            raise ConfigError("source", "must be a search for alphas", "an architecture")
        figure = alphas_picture(home(place))
    else:
        subject = source.architecture if isinstance(source, SelfShowing) else source
        architecture = (
            subject if isinstance(subject, Architecture) else architecture_of(home(subject))
        )
        folder = data.data_dir if isinstance(data, Dataset) and data_dir is None else data_dir
        named = None if data is None else source_of(data, None, {})
        with Listening() as listener:
            figure = picture(architecture, named, path_of(folder), say=listener.say)
    if path is not None:
        files.write_bytes(Path(home(path)), render(figure, Path(home(path))))
    return figure


@speaks_python
def describe(data: str | Path | Dataset, *, data_dir: str | Path | None = None) -> Answer:
    """What a data set holds; or of a table (a file, a folder, a pattern) what its columns seem to
    be for, with the draft of a YAML as `source`.

    >>> automtl.describe(data).frame.columns.tolist()
    ['train', 'validation', 'test', 'fit', 'alpha']
    >>> automtl.describe("shop.csv").frame[["column", "role"]].values.tolist()
    [['user', 'categorical'], ['price', 'numeric'], ['click', 'binary'], ['buy', 'binary']]

    Args:
        data: a `Dataset`, a YAML file, a shipped name, or a table.
        data_dir: folder of raw and prepared data; default the user's cache folder.
    """
    if isinstance(data, Dataset):
        return data.describe()
    if not is_table(home(data)):
        return Dataset(data, data_dir=data_dir).describe()
    text = draft(home(data))
    drafted = parse_yaml(text, "draft")
    assert isinstance(drafted, dict), "a draft is a mapping"
    rows = [{"column": f["name"], "role": f["kind"]} for f in drafted["features"] or ()]
    rows += [{"column": t["label"], "role": t["kind"]} for t in drafted["tasks"] or ()]
    said = [line.strip("# ") for line in text.splitlines() if line.lstrip().startswith("#")]
    return Answer("a draft: each line is a guess", pd.DataFrame(rows), said, source=text)
