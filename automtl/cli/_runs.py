"""`automtl runs`: list runs, and clean what can be made again."""

from pathlib import Path
from typing import Annotated

import typer

from automtl.cli._options import AsJson
from automtl.cli.console import print_json, say, table

app = typer.Typer(
    help="Runs in a folder: list them, or free the space of what can be made again.",
    no_args_is_help=True,
)
Folder = Annotated[Path, typer.Argument(help="The folder that holds runs.")]


@app.command("list")
def list_(folder: Folder = Path("runs"), as_json: AsJson = False) -> None:
    """List the runs in a folder with the state of each phase.

    Example: automtl runs list
    """
    from automtl.runs.overview import overview

    rows = overview(folder)
    if as_json:
        print_json(rows)
        return
    cells = [
        (r["run"], r["phase"], r["state"], r["data"], r["start"], f"{r['megabytes']:.1f}")
        for r in rows
    ]
    table(f"runs in {folder}", ("run", "phase", "state", "data", "start", "MB"), cells)


@app.command()
def clean(
    folder: Folder = Path("runs"),
    yes: Annotated[
        bool, typer.Option("--yes", help="Really remove; without it, only say what would go.")
    ] = False,
) -> None:
    """Remove phases that failed, and the last checkpoints of searches that are done (their
    architecture stays).

    Example: automtl runs clean --yes
    """
    from automtl.runs.overview import cleanable, remove

    found = cleanable(folder)
    for path in found:
        say(f"{'removing' if yes else 'would remove'} {path}")
        if yes:
            remove(path)
    if not found:
        say("nothing to clean")
    elif not yes:
        say("add --yes to remove them")
