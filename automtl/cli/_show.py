"""`automtl show`: a picture of an architecture, or of a search's alphas."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automtl.cli._options import DataDir
from automtl.cli.console import say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from automtl.report.drawing.facts import Part
    from automtl.spaces.architecture import Architecture

_KINDS = ("architecture", "alphas")


def run(
    source: Annotated[
        str,
        typer.Argument(help="A run's folder, an architecture file, or a hand-made model's name."),
    ],
    what: Annotated[
        str, typer.Option("--what", help="architecture, or alphas (of a searched run).")
    ] = "architecture",
    data: Annotated[
        str | None,
        typer.Option("--data", help="Data set to bind to, for all costs.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Picture to write: .png, .svg or .pdf.", show_default=False
        ),
    ] = None,
    screen: Annotated[
        bool, typer.Option("--screen", help="Open the picture in the browser.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Draw a searched or hand-made architecture.

    The picture shows fields, interaction, experts with their blocks, and which task uses which
    expert. Shades show what is decided (a tie is hatched); figures at the towers are the weight of
    each expert. With --data it shows parameters and operations of all parts; without it, only of
    parts whose size does not depend on the data. Default output: architecture.png or alphas.png.

    Example:
        automtl show mmoe -o mmoe.svg
    """
    from automtl import files
    from automtl.errors import ConfigError
    from automtl.report.drawing import render

    if what not in _KINDS:
        raise ConfigError("--what", "must be architecture or alphas", what)
    path = output or Path(f"{what}.png")
    figure = _alphas(source) if what == "alphas" else _architecture(source, data, data_dir)
    for line in _decided(source):
        say(line)
    files.write_bytes(path, render(figure, path))
    say(f"wrote {path}")
    if screen:
        typer.launch(str(path))


def _decided(source: str) -> list[str]:
    """What the search behind an architecture decided; nothing of one that no search made."""
    from automtl.runs import decided
    from automtl.spaces.architecture import Architecture

    architecture = Architecture.load(_file(source))
    if not architecture.choices and not decided.of(architecture.provenance):
        return []
    return [line for line in decided.said(architecture.provenance) if line]


def _alphas(source: str) -> "Figure":
    from automtl.errors import ArtifactError
    from automtl.report.charts import all_choices
    from automtl.report.load import load_phase
    from automtl.runs.run_dir import one_phase

    phase = one_phase(Path(source), "search")
    held = load_phase(phase, source)
    if held.alphas.empty:
        raise ArtifactError(
            phase.alphas,
            "must hold the alphas of an epoch",
            "; ".join(held.remarks) or "none yet",
            "wait for one",
        )
    return all_choices(held.alphas, f"alphas of {source}")


def _architecture(source: str, data: str | None, data_dir: Path | None) -> "Figure":
    from automtl.report.drawing import paint
    from automtl.report.drawing.layout import draw
    from automtl.spaces.architecture import Architecture

    architecture = Architecture.load(_file(source))
    parts: dict[str, Part] = {}
    if data is None:
        parts = known_parts(architecture)
    else:
        architecture, parts = _bound(architecture, data, data_dir)
    return paint(draw(architecture, parts))


def _file(source: str) -> str | Path:
    """The architecture file of a run or a phase folder; what is no folder is a file or a name."""
    from automtl.runs.run_dir import RunDir, find_phase, one_phase

    path = Path(source)
    if not path.is_dir():
        return source
    if path.name != "search" and (path / "manifest.json").exists():
        return one_phase(path, "retrain").architecture
    if not RunDir(path).search.manifest.exists() and len(RunDir(path).retrains()) > 0:
        return find_phase(path, "retrain")[0].architecture
    return one_phase(path, "search").architecture


def known_parts(architecture: "Architecture") -> "dict[str, Part]":
    """Costs of the parts whose size does not depend on the data."""
    from automtl.models.parts import known_part_costs
    from automtl.report.drawing.facts import Part

    return {
        name: Part(cost.parameters, cost.flops)
        for name, cost in known_part_costs(architecture).items()
    }


def _bound(
    architecture: "Architecture", data: str, data_dir: Path | None
) -> "tuple[Architecture, dict[str, Part]]":
    """The architecture on a data set, with the costs of all its parts."""
    from automtl.config import resolve
    from automtl.models.parts import part_costs
    from automtl.phases.run.session import open_store
    from automtl.report.drawing.facts import Part

    flags = {"data": {"dir": None if data_dir is None else str(data_dir)}}
    schema = open_store(resolve(source=data, space=False, flags=flags), say).schema
    costs = part_costs(architecture, schema)
    return architecture.bind(schema), {
        name: Part(cost.parameters, cost.flops) for name, cost in costs.items()
    }
