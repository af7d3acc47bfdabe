"""The report page, from runs on disk."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from automtl import files
from automtl.errors import ConfigError
from automtl.phases.finished._seeds import best_of
from automtl.phases.finished.importance import field_importance
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
    reporter: Reporter | None = None,
) -> Path:
    """Write one self-contained HTML report on one run or several, finished or not.

    Args:
        runs: run folders, or phase folders inside them.
        output: the file to write; default report.html in the first run.
        importance: shuffles of each field, to show which fields each model draws on; 0: none, and
            no data are read.
        reporter: told how it goes on.

    Returns:
        The file.

    Raises:
        ArtifactError: with `importance`, a model's rows are gone, or changed since.
    """
    if output is not None and output.suffix.lower() not in PAGES:
        raise ConfigError(output, "must end in .html", repr(output.suffix))
    views = [_with_parts(view) for view in load_runs(runs)]
    if importance:
        views = [_with_importance(view, importance, reporter or Silent()) for view in views]
    path = output or views[0].path / "report.html"
    files.write_text(path, report(views))
    return path


def _with_importance(view: RunView, repeats: int, reporter: Reporter) -> RunView:
    """The run with the importance of fields for the best seed of each of its finished models."""
    labels: dict[str, list[PhaseDir]] = {}
    for phase in view.retrains:
        if phase.state == "done":
            labels.setdefault(phase.label, []).append(PhaseDir(phase.folder))
    best = [best_of(folders, Silent()) for folders in labels.values()]
    measured = {
        folder.path: field_importance(folder, repeats=repeats, reporter=reporter) for folder in best
    }
    phases = [replace(p, importance=measured.get(p.folder)) for p in view.phases]
    return replace(view, phases=phases)


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
