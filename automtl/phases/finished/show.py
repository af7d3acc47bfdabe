"""Pictures of architectures and alphas, and the report page, from runs on disk."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

from automtl import files
from automtl.config import resolve
from automtl.errors import ArtifactError, ConfigError
from automtl.models.parts import known_part_costs, part_costs
from automtl.phases.finished._seeds import best_of
from automtl.phases.finished.importance import field_importance
from automtl.phases.run.opening import open_store
from automtl.phases.run.reporter import Reporter, Silent
from automtl.reports.charts import all_choices
from automtl.reports.drawing import paint
from automtl.reports.drawing.facts import Part
from automtl.reports.drawing.layout import draw
from automtl.reports.load import RunView, load_phase, load_runs
from automtl.reports.panels.page import report
from automtl.runs import decided
from automtl.runs.run_dir import PhaseDir, RunDir, find_phase, one_phase
from automtl.spaces.architecture import Architecture

PAGES = (".html", ".htm")


def architecture_of(source: str | Path) -> Architecture:
    """The architecture of a run, a phase folder, an architecture file or a hand-made model's
    name.
    """
    return Architecture.load(_file(source))


def _file(source: str | Path) -> str | Path:
    path = Path(source)
    if not path.is_dir():
        return source
    if path.name != "search" and (path / "manifest.json").exists():
        return one_phase(path, "retrain").architecture
    if not RunDir(path).search.manifest.exists() and len(RunDir(path).retrains()) > 0:
        return find_phase(path, "retrain")[0].architecture
    return one_phase(path, "search").architecture


def decided_of(architecture: Architecture) -> list[str]:
    """The decisions of the search behind an architecture; none where no search made it."""
    if not architecture.choices and not decided.decisions_of(architecture.provenance):
        return []
    return [line for line in decided.sentence_and_advice(architecture.provenance) if line]


def picture(
    architecture: Architecture,
    data: str | None = None,
    data_dir: Path | None = None,
    *,
    say: Callable[[str], None],
) -> Figure:
    """A picture of an architecture, with what its parts cost.

    Args:
        architecture: a template, or a bound one.
        data: a data set to bind it to, for the costs of all parts; without, those of the parts
            whose size does not depend on the data.
        data_dir: folder of raw and prepared data.
        say: told how the data are prepared.
    """
    if data is None:
        return paint(draw(architecture, known_parts(architecture)))
    flags = {"data": {"dir": None if data_dir is None else str(data_dir)}}
    schema = open_store(resolve(source=data, space=False, flags=flags), say).schema
    costs = part_costs(architecture, schema)
    parts = {name: Part(cost.parameters, cost.flops) for name, cost in costs.items()}
    return paint(draw(architecture.bind(schema), parts))


def alphas_picture(source: str | Path) -> Figure:
    """A picture of how a search's alphas went.

    Raises:
        ArtifactError: it has none yet.
    """
    phase = one_phase(Path(source), "search")
    view = load_phase(phase, str(source))
    if view.alphas.empty:
        raise ArtifactError(
            phase.alphas,
            "must hold the alphas of an epoch",
            "; ".join(view.remarks) or "none yet",
            "wait for one",
        )
    return all_choices(view.alphas, f"alphas of {source}")


def known_parts(architecture: Architecture) -> dict[str, Part]:
    """Costs of the parts whose size does not depend on the data."""
    return {
        name: Part(cost.parameters, cost.flops)
        for name, cost in known_part_costs(architecture).items()
    }


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
    found = {
        folder.path: field_importance(folder, repeats=repeats, reporter=reporter) for folder in best
    }
    phases = [replace(p, importance=found.get(p.folder)) for p in view.phases]
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
