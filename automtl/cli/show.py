"""`automtl show`: a picture of an architecture, or of a search's alphas."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from automtl.cli.console import say


def run(
    source: Annotated[str, typer.Argument(help="A searched run's folder, an architecture file, or a hand-made model's name.")],
    what: Annotated[str, typer.Option("--what", help="architecture, or alphas (of a searched run).")] = "architecture",
    output: Annotated[Path, typer.Option("-o", "--output", help="Picture to write: .png, .svg or .pdf.")] = Path("architecture.png"),
) -> None:
    """Draw a derived or hand-made architecture, or how the alphas of a search went over its epochs.

    Example: automtl show mmoe -o mmoe.svg
    """
    import pyarrow.parquet as pq

    from automtl import files
    from automtl.errors import ConfigError
    from automtl.report.plots import draw_alphas, draw_architecture, render
    from automtl.runs.run_dir import one_phase
    from automtl.spaces.architecture import Architecture

    kinds: tuple[Literal["architecture", "alphas"], ...] = ("architecture", "alphas")
    if what not in kinds:
        raise ConfigError("--what", "must be architecture or alphas", what)
    if what == "alphas":
        phase = one_phase(Path(source), "search")
        figure = draw_alphas(pq.read_table(phase.alphas), f"alphas of {source}")
    else:
        path = one_phase(Path(source), "search").architecture if Path(source).is_dir() else source
        figure = draw_architecture(Architecture.load(path))
    files.write_bytes(output, render(figure, output))
    say(f"wrote {output}")
