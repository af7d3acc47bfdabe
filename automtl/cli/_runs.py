"""`automtl runs`: list runs, and clean what can be made again."""

from pathlib import Path
from typing import Annotated, Any

import typer

from automtl.cli._options import AsJson, command_of
from automtl.cli.console import print_json, say, table

app = typer.Typer(
    help="Runs in a folder: list them, or free the space of what can be made again.",
    no_args_is_help=True,
)
Folder = Annotated[Path, typer.Argument(help="The folder that holds runs.")]


@command_of(app, "list")
def list_(folder: Folder = Path("runs"), as_json: AsJson = False) -> None:
    """List the runs in a folder, the best of the same data and rows first.

    Example:
        automtl runs list
    """
    from automtl.runs.overview import overview

    rows = overview(folder)
    if as_json:
        print_json(rows)
        return
    header = ("run", "phase", "state", "MTL-Loss", "rows", "best", "start", "MB")
    for data in dict.fromkeys(row["data"] for row in rows):
        cells = [_cells(row) for row in rows if row["data"] == data]
        table(f"{data or 'no data named'}: runs in {folder}, best first", header, cells)
    if not rows:
        say(f"no runs in {folder}")


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["run"],
        row["phase"].removeprefix("retrain/"),
        row["state"],
        "-" if row["loss"] is None else f"{row['loss']:.5f}",
        row["rows"] or "-",
        ",".join(map(str, row["best_epoch"] or ())) or "-",
        row["start"].replace("T", " ")[5:16],
        f"{row['megabytes']:.1f}",
    )


@command_of(app)
def clean(
    folder: Folder = Path("runs"),
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove the files; without it, only list them.")
    ] = False,
) -> None:
    """Remove phases that failed, and the last checkpoints of searches that are done (their
    architecture stays).

    Example:
        automtl runs clean --yes
    """
    from automtl.runs.overview import cleanable, remove

    paths = cleanable(folder)
    for path in paths:
        say(f"{'removing' if yes else 'would remove'} {path}")
        if yes:
            remove(path)
    if not paths:
        say("nothing to clean")
    elif not yes:
        say("add --yes to remove them")
