"""The file of a table: a row per training in Parquet, the test figures in a second file that `load`
never opens.

A row says what was trained (`architecture`, an id; `definition`; `kind`: drawn, hand-made or
constant; `stratum`, its interaction; `sealed`; `seed`; `stage`), what came of it (`loss`, the
MTL-Loss on validation rows of the epoch that the B rows picked; `loss_b`; `<task>.<metric>` on
validation; curves on A, B and validation at the epochs `at`), what it cost, and under what it was
trained.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from automtl import files
from automtl.bounds import fitting, parse_json
from automtl.errors import ArtifactError, ConfigError
from automtl.strict import nearest

DRAWN: Final = "drawn"
HAND_MADE: Final = "hand-made"
CONSTANT: Final = "constant"
# what all rows of a table must have in common
UNDER = ("commit", "data_hash", "split_hash", "settings_hash")
NEEDED = ("architecture", "kind", "stratum", "sealed", "seed", "stage", "loss", *UNDER)
ABOUT = b"automtl.benchmark"  # key of the file's metadata: the plan's settings
FRESH: Final = "fresh"  # the stage of trainings whose architectures the others chose
TEST = ".test.parquet"

Row = dict[str, Any]


def load(name_or_path: str | Path, *, sealed: bool = False) -> pd.DataFrame:
    """A table of trained architectures, a row per training; `attrs` has the settings it was made
    with.

    >>> load("census_income").groupby("stratum")["loss"].mean()  # doctest: +SKIP

    Args:
        name_or_path: a shipped table's name, or a table's Parquet file.
        sealed: with the rows of the sealed third, which are for judging a finished method once:
            nothing may be tuned or chosen by them.

    Raises:
        ArtifactError: there is no such table, or its rows were trained at several commits or under
            other data, splits or settings.
    """
    path = _path_of(name_or_path)
    table = _read(path)
    frame = _checked(path, table)
    with fitting(path):
        about = dict(parse_json((table.schema.metadata or {}).get(ABOUT, b"{}")))
    visible = frame if sealed else frame[~frame["sealed"].astype(bool)].reset_index(drop=True)
    visible.attrs = {"name": path.name.partition(".")[0], **about}
    return visible


def load_test(name_or_path: str | Path) -> pd.DataFrame:
    """The figures on test rows, of sealed architectures and judged models only: for a claim at the
    end, never for a choice.

    Raises:
        ArtifactError: as for `load`.
    """
    path = _path_of(name_or_path)
    beside = path.with_name(path.name.removesuffix(".parquet") + TEST)
    if not beside.is_file():
        raise ArtifactError(beside, "must exist", "no such file", "the table has no test figures")
    return _checked(beside, _read(beside))


@dataclass(frozen=True)
class Placement:
    """The place of a model among a table's drawn architectures.

    Args:
        loss: its MTL-Loss on the table's validation rows.
        better: how many of the drawn architectures have a lower mean loss.
        of: how many there are.
        best: the least mean loss among them.
        median: the median of their mean losses.
    """

    loss: float
    better: int
    of: int
    best: float
    median: float

    @property
    def share(self) -> float:
        """The share of drawn architectures that are better: 0 for the best place."""
        return self.better / self.of


def first_part(table: pd.DataFrame) -> pd.DataFrame:
    """The drawn architectures' trainings that chose and were chosen by nothing, those that failed
    left out.

    Raises:
        ConfigError: it is no such table.
    """
    need_table(table)
    return table[(table["kind"] == DRAWN) & (table["stage"] != FRESH) & table["loss"].notna()]


def need_table(table: object, *more: str) -> None:
    """Refuse what is no table of trainings, or has not the columns that one has and some more.

    Raises:
        ConfigError: a column is not there.
    """
    fix = "take a table of automtl.benchmarks.load"
    if not isinstance(table, pd.DataFrame):
        raise ConfigError("table", "must be a table of trainings", type(table).__name__, fix)
    needed = ("architecture", "kind", "stratum", "sealed", "seed", "stage", "loss", *more)
    if absent := [name for name in needed if name not in table.columns]:
        got = ", ".join(map(str, table.columns))[:200] or "no column"
        raise ConfigError("table", f"must have the columns {', '.join(absent)}", got, fix)


def place(
    model: Mapping[str, Any] | pd.Series, table: pd.DataFrame, *, other_commit: bool = False
) -> Placement:
    """Place a trained model among a table's architectures.

    Args:
        model: its row, with `loss` and what it was trained under (`commit`, `data_hash`,
            `split_hash`, `settings_hash`).
        table: of `load`.
        other_commit: take a model trained by another version of the code, where you know that it
            trains alike.

    Raises:
        ConfigError: it is no row.
        ArtifactError: it was trained under something else, so that its loss says nothing beside the
            table's, or has no finite loss.
    """
    _need_row(model)
    drawn = first_part(table)
    loss = model.get("loss")
    if not isinstance(loss, int | float) or not math.isfinite(loss):
        raise ArtifactError("model", "must have a finite loss to be placed", loss)
    if drawn.empty:
        raise ArtifactError("table", "must hold trained architectures", "none")
    for name in UNDER:
        theirs = str(drawn[name].iloc[0])
        if str(model.get(name)) != theirs and not (name == "commit" and other_commit):
            rule = f"must be trained under the table's {name.replace('_', ' ')} {theirs}"
            raise ArtifactError(
                "model",
                rule,
                model.get(name),
                "train it by `automtl benchmark` with the table's settings and data",
            )
    means = drawn.groupby("architecture")["loss"].mean()
    return Placement(
        float(loss),
        int((means < loss).sum()),
        len(means),
        float(means.min()),
        float(means.median()),
    )


def _need_row(model: object) -> None:
    """Refuse what says nothing of its training, such as a loss alone."""
    if not isinstance(model, Mapping | pd.Series):
        rule = "must be a model's row, with its loss and what it was trained under"
        raise ConfigError("model", rule, repr(model)[:80], "take a row of a table")


def write(path: Path, rows: Sequence[Row], about: Mapping[str, Any]) -> None:
    """Write rows as one table, ordered by architecture and seed so that equal rows make equal
    files.

    Raises:
        ArtifactError: they were not all trained under the same.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    ordered = sorted(
        ({name: row.get(name) for name in names} for row in rows),
        key=lambda r: (r["kind"], r["architecture"], r["seed"]),
    )
    table = pa.Table.from_pylist(ordered)
    _checked(path, table)
    files.write_table(
        path,
        table.replace_schema_metadata({ABOUT: json.dumps(dict(about), sort_keys=True).encode()}),
    )


def read_rows(path: Path) -> list[Row]:
    """The rows of a table's file as they were written, sealed ones too: for going on with a table,
    not for looking at it.
    """
    table = _read(path)
    _checked(path, table)
    rows: list[Row] = table.to_pylist()
    return rows


def shipped_tables() -> dict[str, Path]:
    """The tables that come with the package, by data set."""
    folder = package_files("automtl.benchmarks.shipped")
    paths = [
        Path(str(entry))
        for entry in folder.iterdir()
        if entry.name.endswith(".parquet") and not entry.name.endswith(TEST)
    ]
    return {path.stem: path for path in sorted(paths)}


def _path_of(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.is_file():
        return path
    known = shipped_tables()
    if str(name_or_path) not in known:
        rule = "must be a table's Parquet file or a shipped table's name"
        raise ArtifactError(
            name_or_path,
            rule,
            "neither",
            nearest(str(name_or_path), known) if known else "no table ships yet",
        )
    return known[str(name_or_path)]


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, partitioning=None)
    except (OSError, ValueError, pa.ArrowException) as error:
        got = " ".join(str(error).split())[:200]
        raise ArtifactError(
            path, "must be a table of trained architectures in Parquet", got, "restore it"
        ) from error


def _checked(path: Path, table: pa.Table) -> pd.DataFrame:
    """The rows as a frame, all trained under the same and each once."""
    if absent := [name for name in NEEDED if name not in table.column_names]:
        raise ArtifactError(
            path,
            f"must have the columns {', '.join(absent)}",
            ", ".join(table.column_names)[:200],
            "restore it",
        )
    with fitting(path):
        frame: pd.DataFrame = table.to_pandas()
        for name in UNDER:
            if len(values := sorted({str(value) for value in frame[name]})) > 1:
                rule = f"must hold rows of one {name.replace('_', ' ')}"
                raise ArtifactError(
                    path,
                    rule,
                    " and ".join(values)[:200],
                    "their losses cannot be compared: make a table of each",
                )
        if frame.duplicated(["architecture", "seed"]).any():
            raise ArtifactError(path, "must hold each training once", "some twice", "restore it")
    return frame
