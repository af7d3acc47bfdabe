"""The `automtl` command."""

import os
import sys
import traceback

import typer

from automtl.cli import (
    compare,
    data,
    evaluate,
    export,
    pareto,
    predict,
    rank,
    report,
    retrain,
    runs,
    search,
    show,
    space,
    status,
    tune,
)
from automtl.cli.console import error, say
from automtl.cli.options import at_home, pluggable
from automtl.errors import AutoMTLError, ConfigError, Interrupted
from automtl.strict import shown

app = typer.Typer(
    name="automtl",
    help="Search, derive, retrain and prove multi-task recommender architectures on your own data.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(data.app, name="data")
app.add_typer(runs.app, name="runs")
app.command("space")(pluggable(space.run))
app.command("search")(pluggable(search.run))
app.command("retrain")(pluggable(retrain.run))
app.command("tune")(pluggable(tune.run))
app.command("evaluate")(pluggable(evaluate.run))
app.command("compare")(pluggable(compare.run))
app.command("rank")(pluggable(rank.run))
app.command("pareto")(pluggable(pareto.run))
app.command("predict")(pluggable(predict.run))
app.command("export")(pluggable(export.run))
app.command("show")(pluggable(show.run))
app.command("report")(pluggable(report.run))
app.command("status")(status.run)


# A thread of GNU OpenMP that waits spins on its processor for some milliseconds; where anything else runs beside, that made a search
# step five times longer. It is read when torch is first imported, by a command; whoever has set it keeps it.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def main() -> None:
    """Run the command and exit with the status that README documents."""
    try:
        if any("\ud800" <= c <= "\udfff" for word in sys.argv for c in word):  # bytes that are no text; no file of a run could tell them
            raise ConfigError("command line", "must be UTF-8", ascii(sys.argv[1:])[:200], "rename the file")
        app(at_home(sys.argv[1:]), standalone_mode=False)
        status = 0
    except AutoMTLError as fault:
        error(str(fault))
        status = fault.exit_code
    except Interrupted as stopped:
        from automtl.runs.manifest import again, command

        error(f"{stopped}; go on with: {again(command(), stopped.folder)}")
        status = 128 + stopped.signal
    except typer.Exit as exit_:
        status = exit_.exit_code
        if status == 130:  # typer's word for SIGINT where no phase was at work
            error("interrupted; what was finished is kept")
    except OSError as fault:  # where nobody knew better: a name that is too long, a folder that cannot be looked into
        error(f"{shown(str(fault.filename or 'the machine'))}: must be within reach, got {fault.strerror or fault}; check the path")
        status = 3
    except MemoryError:
        error("memory: the machine ran out; lower search.batch_size or retrain.batch_size")
        status = 3
    except Exception as fault:
        if type(fault).__module__.startswith("typer") or hasattr(fault, "exit_code"):
            show_usage(fault)
            status = 2
        else:
            traceback.print_exc()
            error(f"a fault of automtl itself: {type(fault).__name__}: {fault}")
            status = 1
    sys.exit(status)


def show_usage(fault: Exception) -> None:
    """A usage error of the command line as typer words it."""
    message = fault.format_message() if hasattr(fault, "format_message") else str(fault)
    say(message) if type(fault).__name__ == "NoArgsIsHelpError" else error(message)
