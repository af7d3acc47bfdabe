"""Pictures of architectures and alphas, from runs on disk."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from automtl.config import resolve
from automtl.errors import ArtifactError
from automtl.models.parts import known_part_costs, part_costs
from automtl.phases.run.opening import open_store
from automtl.reports.charts import LEARNED, all_choices
from automtl.reports.drawing import paint
from automtl.reports.drawing.facts import Part
from automtl.reports.drawing.layout import draw
from automtl.reports.load import load_phase
from automtl.runs import decided
from automtl.runs.run_dir import RunDir, find_phase, one_phase
from automtl.spaces.architecture import Architecture


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
    return one_phase(path, "search").derived()


def has_derived(source: str | Path) -> bool:
    """Whether the search of a run has come to its architecture."""
    return one_phase(Path(source), "search").architecture.exists()


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
    if not view.learned:
        raise ArtifactError(phase.alphas, LEARNED, "drawn ones", "show the architecture")
    return all_choices(view.alphas, f"alphas of {source}")


def known_parts(architecture: Architecture) -> dict[str, Part]:
    """Costs of the parts whose size does not depend on the data."""
    return {
        name: Part(cost.parameters, cost.flops)
        for name, cost in known_part_costs(architecture).items()
    }
