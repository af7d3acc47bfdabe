"""Puts the commands together."""

import os
from importlib.metadata import version
from typing import Annotated

import typer

from automtl.cli import _data, _result_commands, _runs, _training_commands
from automtl.cli._options import by_one, help_of, pluggable

# A thread of GNU OpenMP that waits spins on its processor for some milliseconds; where anything
# else runs beside, that made a search
# step five times longer. It is read when torch is first imported, by a command; whoever has set it
# keeps it.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

app = typer.Typer(
    name="automtl",
    help="Search, train and compare multi-task recommender architectures on your data.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(_data.app, name="data", rich_help_panel="Data and settings")

_READS_FILES_ALONE = ("status", "config")  # commands for which no plugin matters
_SHARED = ("search", "retrain", "evaluate", "config", "status")  # by ranks, or harmless for them
for _panel, _commands in {**_training_commands.PANELS, **_result_commands.PANELS}.items():
    for _name, _run in _commands.items():
        app.command(_name, help=help_of(_run), rich_help_panel=_panel)(
            _run
            if _name in _READS_FILES_ALONE
            else pluggable(_run if _name in _SHARED else by_one(_name, _run))
        )
app.add_typer(_runs.app, name="runs", rich_help_panel="Compare and look")


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"automtl {version('automtl')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_tell_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Options of no command in particular."""
