"""`automtl report`: one HTML file that tells a run, or several side by side."""

from pathlib import Path
from typing import Annotated

import typer

from automtl.cli.console import say
from automtl.cli.progress import ConsoleReporter


def run(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or phase folders inside them.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The file to write.", show_default="RUN/report.html"),
    ] = None,
    importance: Annotated[
        int,
        typer.Option(
            "--importance",
            min=0,
            max=1000,
            help="Shuffle each field this many times on the validation rows, say 5, and show how "
            "much each task's loss rises.",
        ),
    ] = 0,
    importance_rows: Annotated[
        int | None,
        typer.Option(
            "--importance-rows",
            min=2,
            show_default="20000",
            help="Validation rows for that, at most. With fewer it is faster, and the intervals "
            "are wider.",
        ),
    ] = None,
    screen: Annotated[bool, typer.Option("--screen", help="Open it in the browser.")] = False,
) -> None:
    """Write one self-contained HTML report on one run or several, finished or not.

    Example:
        automtl report runs/census_income-automtl_small-1 \
            runs/census_income-shared_bottom-1 -o report.html
    """
    from automtl.phases.finished.report import write_report

    with ConsoleReporter() as reporter:
        path = write_report(
            runs,
            output,
            importance=importance,
            importance_rows=importance_rows,
            reporter=reporter,
        )
    say(f"wrote {path}")
    if screen:
        typer.launch(str(path))
