"""`automtl export`: a trained model as a folder that others can serve."""

from pathlib import Path
from typing import Annotated

import typer

from automtl.cli.progress import ConsoleReporter


def run(
    run: Annotated[
        Path,
        typer.Argument(
            help="A run's folder, of whose seeds the best is taken, or one retrain folder."
        ),
    ],
    form: Annotated[
        str,
        typer.Option(
            "--format", help="onnx, pt2 (torch.export) or python (one plain PyTorch file)."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="The folder to write; it must not exist yet.",
            show_default="RUN/export/<retrain>-<format>",
        ),
    ] = None,
) -> None:
    """Export a trained model to a folder that others can serve.

    The folder holds the model, its vocabularies and transforms, a README that scores a row, and a
    model card.

    Example:
        automtl export runs/first --format onnx -o served
    """
    from automtl.phases.finished.export import export

    with ConsoleReporter() as reporter:
        export(run, form, out=out, reporter=reporter)
