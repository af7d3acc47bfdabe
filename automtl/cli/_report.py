"""`automtl report`: one HTML file that tells a run, or several side by side."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automtl.cli.console import say

if TYPE_CHECKING:
    from automtl.report.load import RunView


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
    from automtl import files
    from automtl.errors import ConfigError
    from automtl.report.load import load_runs
    from automtl.report.panels.page import report

    if output is not None and output.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(output, "must end in .html", repr(output.suffix))
    views = [_with_parts(view) for view in load_runs(runs)]
    path = output or views[0].path / "report.html"
    files.write_text(path, report(views))
    say(f"wrote {path}")
    if screen:
        typer.launch(str(path))


def _with_parts(view: "RunView") -> "RunView":
    """The run with the costs of its architectures' parts counted; those alike are counted once."""
    from automtl.cli._show import known_parts

    counted: dict[str, dict[str, object]] = {}
    phases = []
    for phase in view.phases:
        if phase.architecture is not None:
            key = phase.architecture.identity()
            if key not in counted:
                counted[key] = known_parts(phase.architecture)  # type: ignore[assignment]
            phase = replace(phase, parts=counted[key])  # type: ignore[arg-type]
        phases.append(phase)
    return replace(view, phases=phases)
