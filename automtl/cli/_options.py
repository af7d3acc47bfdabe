"""Options that several commands share."""

import inspect
import re
import sys
import textwrap
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.markup import escape

from automtl.errors import ConfigError
from automtl.plugins import load_plugin
from automtl.ranks import need_one_process, place, restarts, world_size

if TYPE_CHECKING:
    from automtl.config import RunConfig

ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="YAML file of settings.", show_default=False)
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="One setting, such as search.epochs=15; repeatable.", show_default=False
    ),
]
Space = Annotated[
    str | None,
    typer.Option(
        "--space", help="A shipped space's name, or a space file.", show_default="automtl"
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder of raw and prepared data; default the cache folder."),
]
Device = Annotated[
    str | None,
    typer.Option("--device", help="auto, cpu, mps, cuda or cuda:N.", show_default="auto"),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        help="Processes that share each batch's rows, one per GPU; see docs/scale.md.",
        show_default="1",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", help="CPU threads of torch.", show_default="torch's choice"),
]
Jobs = Annotated[
    int,
    typer.Option("--jobs", min=1, help="Number of trainings at a time, each in its own process."),
]
EngineOption = Annotated[
    str,
    typer.Option(
        "--engine", help="Engine: local, dask, dask:ADDRESS, slurm or slurm:NAME=VALUE,..."
    ),
]
OnNan = Annotated[
    str | None,
    typer.Option(
        "--on-nan",
        help="stop, or skip: leave out batches whose loss is not finite.",
        show_default="stop",
    ),
]
Deterministic = Annotated[
    bool,
    typer.Option(
        "--deterministic", help="Refuse operations that are not deterministic on a device."
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", help="The run's folder; it must not exist yet.", show_default="runs/<name>-<n>"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines on standard output.")]
Full = Annotated[bool, typer.Option("--full", help="Print everything, not one screen.")]
ShowConfig = Annotated[
    bool,
    typer.Option(
        "--show-config", help="Print the settings in force as YAML for --config, and stop."
    ),
]
_PLUGIN = "Python file of your own operations or sharing modules; it is run. Repeatable."
_Plugins = Annotated[list[Path] | None, typer.Option("--plugin", help=_PLUGIN, show_default=False)]
FastDevRun = Annotated[
    bool,
    typer.Option(
        "--fast-dev-run", help="Run two epochs of four batches, to check that everything works."
    ),
]


def flags_of(
    *,
    data_dir: Path | None,
    time_limit: str | None = None,
    fast_dev_run: bool = False,
    deterministic: bool = False,
    seed: int | None = None,
    **runtime: Any,
) -> dict[str, Any]:
    """The options that several commands share, as nested settings; what is None is not given."""
    runtime |= {
        "fast_dev_run": fast_dev_run or None,
        "time_limit_s": seconds(time_limit),
        "deterministic": deterministic or None,
    }
    data = {"dir": None if data_dir is None else str(data_dir)}
    return {"seed": seed, "data": data, "runtime": runtime}


_EXAMPLE_WIDTH = 72
Command = TypeVar("Command", bound=Callable[..., None])


def help_of(run: Callable[..., None]) -> str:
    """A command's help from its docstring: paragraphs whole, so that a terminal of any width breaks
    them between words, and below "Example:" or "Examples:" one command a line.
    """
    paragraphs = []
    for paragraph in inspect.cleandoc(run.__doc__ or "").split("\n\n"):
        head, *lines = paragraph.split("\n")
        if re.fullmatch("Examples?:", head):
            paragraphs.append("\n".join([head, *map(_example, lines)]))
        else:
            paragraphs.append(" ".join([head, *lines]))
    return escape("\n\n".join(paragraphs))


def command_of(group: typer.Typer, name: str | None = None) -> Callable[[Command], Command]:
    """A command of a group, its help as `help_of` makes it."""

    def register(run: Command) -> Command:
        return group.command(name, help=help_of(run))(run)

    return register


def _example(command: str) -> str:
    """An example as a shell reads it, in lines that fit."""
    words = " ".join(command.split())
    lines = textwrap.wrap(words, _EXAMPLE_WIDTH, break_long_words=False, break_on_hyphens=False)
    return " \\\n".join(f"{'    ' if i else '$ '}{line}" for i, line in enumerate(lines))


def pluggable(run: Callable[..., None]) -> Callable[..., None]:
    """A command with ``--plugin``, whose files are run before anything else is looked at."""

    @wraps(run)
    def command(*, plugin: list[Path] | None, **given: Any) -> None:
        for path in plugin or ():
            load_plugin(path)
        run(**given)

    signature = inspect.signature(run)
    option = inspect.Parameter(
        "plugin", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_Plugins
    )
    parameters = [*signature.parameters.values(), option]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return command


def by_one(name: str, run: Callable[..., None]) -> Callable[..., None]:
    """A command that is refused where several processes were started to train together."""

    @wraps(run)
    def command(**given: Any) -> None:
        need_one_process(f"automtl {name}")
        run(**given)

    return command


_HOME = re.compile(r"((?:--)?[\w.-]+=)?(~/.*)", re.DOTALL)


def at_home(words: list[str]) -> list[str]:
    """Arguments with `~/` in full, also where the shell leaves it, as in `--out=~/run`."""
    return [
        f"{match[1] or ''}{_in_full(match[2])}" if (match := _HOME.fullmatch(word)) else word
        for word in words
    ]


def _in_full(path: str) -> str:
    try:
        return str(Path(path).expanduser())
    except RuntimeError:  # nobody knows a home
        return path


def absolute(dataset: str) -> str:
    """A path that stays right when the run is used from another folder; a name as it is."""
    path = Path(dataset)
    return str(path.resolve()) if path.exists() else dataset


def whole_path(path: Path | None) -> Path | None:
    """A path that stays right when the run is used from another folder."""
    return None if path is None else path.resolve()


def seconds(text: str | None) -> float | None:
    """A duration such as 90, 30s, 10m or 2h in seconds.

    Raises:
        ConfigError: it has another form.
    """
    if text is None:
        return None
    from automtl.phases.run.duration import seconds as seconds_of

    return seconds_of(text, "--time-limit")


def by_workers(
    workers: int | None,
    config: "RunConfig | None" = None,
    *,
    search: bool = False,
    retrain: bool = False,
) -> None:
    """Start the workers that are asked for, with the same command, and end with them; nothing where
    this process is one of them, or the only one.

    Args:
        workers: how many.
        config: settings of what they are to train.
        search: whether they search.
        retrain: whether they retrain.

    Raises:
        ConfigError: they cannot share the work.
        typer.Exit: they have done it, or failed.
    """
    if workers is None:
        return
    from automtl.phases.run.joining import check_shares
    from automtl.phases.run.launch import launch, needs_workers

    if needs_workers(workers):
        if config is not None:
            check_shares(config, workers, search=search, retrain=retrain)
        from automtl.cli.console import say

        raise typer.Exit(launch(workers, sys.argv[1:], say))


def goes_on(resume: bool, home: Path | None) -> bool:
    """Whether a command goes on with what was begun: where it is told to, or torchrun starts it
    again (`--max-restarts`) and something was.

    Args:
        resume: whether it is told to.
        home: the folder that shows it; None where each start chooses another.

    Raises:
        ConfigError: nobody knows where it was begun; or several machines, each of which counts by
            itself how often it starts again.
    """
    if resume or not restarts():
        return resume
    where, fix = "torchrun --max-restarts", "go on with --out and --resume"
    if place()[1] < world_size():
        raise ConfigError(where, "must be 0 with several machines", restarts(), fix)
    if home is None:
        rule = "needs --out, for a command that is started again to find what it had begun"
        raise ConfigError(where, rule, "none", fix)
    return home.is_dir()


def seed_list(text: str) -> list[int]:
    """Seeds such as 0, 0,3,7 or 0..4 (both ends included).

    Raises:
        ConfigError: it has another form.
    """
    if match := re.fullmatch(r"(\d{1,18})\.\.(\d{1,18})", text):
        low, high = int(match[1]), int(match[2])
        if low <= high < low + 1000:
            return list(range(low, high + 1))
    elif re.fullmatch(r"\d{1,18}(,\d{1,18})*", text):
        return list(dict.fromkeys(int(part) for part in text.split(",")))
    raise ConfigError("--seeds", "must be seeds such as 0, 0,3,7 or 0..4", repr(text))
