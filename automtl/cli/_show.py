"""`automtl show`: a picture of an architecture, or of a search's alphas."""

from pathlib import Path
from typing import Annotated

import typer

from automtl.cli._options import DataDir
from automtl.cli.console import say, show_decisions

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
    from automtl.phases.finished.show import (
        alphas_picture,
        architecture_of,
        decided_of,
        has_derived,
        picture,
    )
    from automtl.reports.drawing import render
    from automtl.runs.decided import decisions_of

    if what not in _KINDS:
        raise ConfigError("--what", "must be architecture or alphas", what)
    path = output or Path(f"{what}.png")
    figure = alphas_picture(source) if what == "alphas" else None
    if figure is None or has_derived(source):  # alphas can be watched before there is one
        architecture = architecture_of(source)
        figure = figure or picture(architecture, data, data_dir, say=say)
        for line in decided_of(architecture):
            say(line)
        show_decisions(decisions_of(architecture.provenance))
    files.write_bytes(path, render(figure, path))
    say(f"wrote {path}")
    if screen:
        typer.launch(str(path))
