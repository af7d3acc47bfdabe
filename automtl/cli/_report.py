"""`automtl report`: one HTML file that tells a run, or several side by side."""

from pathlib import Path
from typing import Annotated

import typer

from automtl.cli.console import say


def run(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or phase folders inside them.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The file to write.", show_default="RUN/report.html"),
    ] = None,
    screen: Annotated[bool, typer.Option("--screen", help="Open it in the browser.")] = False,
) -> None:
    """Write one self-contained HTML report on one run or several, finished or not.

    Example:
        automtl report runs/census_income-automtl_small-1 \
            runs/census_income-shared_bottom-1 -o report.html
    """
    from automtl.phases.finished.show import write_report

    path = write_report(runs, output)
    say(f"wrote {path}")
    if screen:
        typer.launch(str(path))
