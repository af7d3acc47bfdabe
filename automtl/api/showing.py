"""Pictures and reports from Python, by the commands' own code."""

from pathlib import Path

from matplotlib.figure import Figure

from automtl import files
from automtl.api._progress import Listening
from automtl.api._settings import Data, path_of, source_of
from automtl.api._wording import speaks_python
from automtl.api.dataset import Dataset
from automtl.api.judging import Runs, folders_of
from automtl.data.access.paths import home
from automtl.errors import ConfigError
from automtl.phases.finished.report import write_report
from automtl.phases.finished.show import alphas_picture, architecture_of, picture
from automtl.phases.run.reporter import Reporter
from automtl.reports.drawing import render
from automtl.reports.results import SelfShowing
from automtl.spaces.architecture import Architecture


@speaks_python
def report(
    *runs: Runs,
    path: str | Path | None = None,
    importance: int = 0,
    importance_rows: int | None = None,
    verbose: bool | None = None,
    reporter: Reporter | None = None,
) -> Path:
    """Write one self-contained HTML report on runs, finished or not; gives the file.

    >>> automtl.report(found, plain, path="report.html").name
    'report.html'

    Args:
        runs: results, or paths of runs.
        path: the file to write; default report.html in the first run.
        importance: shuffles of each field on the validation rows, to show which fields each model
            draws on; 0: none.
        importance_rows: validation rows for that, at most; default 20,000. With fewer it is
            faster, and the intervals are wider.
        verbose: whether to show progress; default in terminals and notebooks.
        reporter: told how it goes on, in place of a bar.
    """
    with Listening(verbose, reporter) as listener:
        folders = folders_of(*runs)
        return write_report(
            folders,
            path_of(path),
            importance=importance,
            importance_rows=importance_rows,
            reporter=listener,
        )


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
