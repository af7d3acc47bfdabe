"""The commands, put together."""

import os
from importlib.metadata import version
from typing import Annotated

import typer

from automtl.cli import (
    _benchmark,
    _data,
    _evaluate,
    _export,
    _pareto,
    _predict,
    _rank,
    _report,
    _retrain,
    _runs,
    _search,
    _show,
    _space,
    _status,
    _tune,
    compare,
)
from automtl.cli._options import pluggable

# A thread of GNU OpenMP that waits spins on its processor for some milliseconds; where anything
# else runs beside, that made a search
# step five times longer. It is read when torch is first imported, by a command; whoever has set it
# keeps it.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

app = typer.Typer(
    name="automtl",
    help="Search, derive, retrain and prove multi-task recommender architectures on your own data.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(_data.app, name="data")
app.add_typer(_runs.app, name="runs")
app.command("space")(pluggable(_space.run))
app.command("search")(pluggable(_search.run))
app.command("retrain")(pluggable(_retrain.run))
app.command("tune")(pluggable(_tune.run))
app.command("evaluate")(pluggable(_evaluate.run))
app.command("compare")(pluggable(compare.run))
app.command("rank")(pluggable(_rank.run))
app.command("benchmark")(pluggable(_benchmark.run))
app.command("pareto")(pluggable(_pareto.run))
app.command("predict")(pluggable(_predict.run))
app.command("export")(pluggable(_export.run))
app.command("show")(pluggable(_show.run))
app.command("report")(pluggable(_report.run))
app.command("status")(_status.run)


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"automtl {version('automtl')}")
        raise typer.Exit


@app.callback()
def _common(
    told: Annotated[
        bool,
        typer.Option(
            "--version", help="Tell the version and exit.", callback=_tell_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Options of no command in particular."""
