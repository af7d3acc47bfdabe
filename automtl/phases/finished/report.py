"""The report page, from runs on disk."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from automtl import files
from automtl.errors import ConfigError, need_whole
from automtl.phases.finished._seeds import best_of
from automtl.phases.finished.importance import MOST_ROWS, field_importance
from automtl.phases.finished.show import known_parts
from automtl.phases.run.reporter import Reporter, Silent
from automtl.reports.drawing.facts import Part
from automtl.reports.load import RunView, load_runs
from automtl.reports.panels.page import report
from automtl.runs.run_dir import PhaseDir

PAGES = (".html", ".htm")


def write_report(
    runs: Sequence[Path],
    output: Path | None = None,
    *,
    importance: int = 0,
    importance_rows: int | None = None,
    reporter: Reporter | None = None,
) -> Path:
    """Write one self-contained HTML report on one run or several, finished or not.

    Args:
        runs: run folders, or phase folders inside them.
        output: the file to write; default report.html in the first run.
        importance: shuffles of each field, to show which fields each model draws on; 0: none, and
            no data are read.
        importance_rows: validation rows for that, at most; fewer are faster, and the intervals
            wider. None: as many as usual.
        reporter: told how it goes on.

    Returns:
        The file.

    Raises:
        ConfigError: rows for an importance that is not asked for; a number that is not whole or
            too small; a file that is no page.
        ArtifactError: with `importance`, a model's rows are gone, or changed since.
    """
    if output is not None and output.suffix.lower() not in PAGES:
        raise ConfigError(output, "must end in .html", repr(output.suffix))
    need_whole("--importance", importance, 0)
    if importance_rows is not None:
        need_whole("--importance-rows", importance_rows, 2)
        if not importance:
            rule, fix = "must come with --importance", "give that, or leave this out"
            raise ConfigError("--importance-rows", rule, importance_rows, fix)
    views = [_with_parts(view) for view in load_runs(runs)]
    if importance:
        rows = MOST_ROWS if importance_rows is None else importance_rows
        views = _with_importance(views, importance, rows, reporter or Silent())
    path = output or views[0].path / "report.html"
    files.write_text(path, report(views))
    return path


def _with_importance(
    views: Sequence[RunView], repeats: int, most_rows: int, reporter: Reporter
) -> list[RunView]:
    """The runs with the importance of fields for the best seed of each of their finished models."""
    best: list[PhaseDir] = []
    for view in views:
        labels: dict[str, list[PhaseDir]] = {}
        for phase in view.retrains:
            if phase.state == "done":
                labels.setdefault(phase.label, []).append(PhaseDir(phase.folder))
        best += [best_of(folders, Silent()) for folders in labels.values()]
    measured = {
        folder.path: field_importance(
            folder,
            repeats=repeats,
            most_rows=most_rows,
            reporter=reporter,
            place=(number, len(best)),
        )
        for number, folder in enumerate(best)
    }
    return [
        replace(view, phases=[replace(p, importance=measured.get(p.folder)) for p in view.phases])
        for view in views
    ]


def _with_parts(view: RunView) -> RunView:
    """The run with the costs of its architectures' parts counted; those alike are counted once."""
    counted: dict[str, dict[str, Part]] = {}
    phases = []
    for phase in view.phases:
        if phase.architecture is not None:
            key = phase.architecture.identity()
            if key not in counted:
                counted[key] = known_parts(phase.architecture)
            phase = replace(phase, parts=counted[key])
        phases.append(phase)
    return replace(view, phases=phases)
