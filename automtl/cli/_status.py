"""`automtl status`: how a run goes, or how it ended."""

from pathlib import Path
from typing import Annotated

import typer

from automtl.cli._options import AsJson
from automtl.cli.console import print_json, table


def run(
    source: Annotated[Path, typer.Argument(help="A run's folder, or a phase folder inside it.")],
    as_json: AsJson = False,
) -> None:
    """Show each phase of a run: state, epoch, time left, last figures, last checkpoint; a verdict
    where it ended.

    Example: automtl status runs/census_income-automtl_small-1
    """
    from automtl.runs.status import status

    found = status(source)
    if as_json:
        print_json(found)
        return
    for phase in found:
        rows = [
            (key.replace("_", " "), _cell(value))
            for key, value in phase.items()
            if key not in ("phase", "decisions") and value is not None
        ]
        table(phase["phase"], ("what", "value"), rows)


_WORDS = {
    "train_loss": "train loss",
    "validation_loss": "validation MTL-Loss",
    "b_loss": "MTL-Loss on B rows",
    "b": "B rows",
}


def _cell(value: object) -> str:
    if isinstance(value, dict) and all(isinstance(part, dict) for part in value.values()):
        return "; ".join(f"{name}: {_cell(part)}" for name, part in value.items())
    if isinstance(value, dict):
        return ", ".join(f"{_WORDS.get(k, k)} {_cell(v)}" for k, v in value.items())
    return f"{value:.5f}" if isinstance(value, float) else str(value)
