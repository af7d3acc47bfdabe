"""Rows in memory, of whatever kind, as one Arrow table; as data sets they are written down once, as
Parquet with a YAML beside it.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from automtl.data.access.fingerprints import fingerprint
from automtl.data.access.paths import FRAMES, ROWS, YAML
from automtl.data.spec.dataset import DatasetConfig, keeps_data
from automtl.data.store.encoding import checksum
from automtl.data.values.text_columns import as_text
from automtl.errors import ConfigError, DataError
from automtl.files import StagedFolder, scratch_folder, write_json, write_table
from automtl.strict import build

KINDS = "a DataFrame of pandas or polars, an Arrow table, a list of dicts or a dict of columns"
_RULE = "must hold numbers, texts, times, or lists of them"


def as_table(rows: Any) -> pa.Table:
    """Rows as an Arrow table, a pandas index left out; values of several types in one column are
    texts.

    Args:
        rows: a DataFrame (of pandas, polars or whatever offers Arrow's stream), an Arrow table, a
            list of dicts or a dict of columns.

    Raises:
        ConfigError: another kind.
        DataError: a column that Arrow has no type for, or columns of different lengths.
    """
    if isinstance(rows, pd.DataFrame):
        return _table([(str(name), rows.iloc[:, i]) for i, name in enumerate(rows.columns)])
    if isinstance(rows, pa.Table):
        return rows
    if isinstance(rows, pa.RecordBatch):
        return pa.Table.from_batches([rows])
    if hasattr(rows, "__arrow_c_stream__"):
        try:
            return pa.table(rows)
        except pa.ArrowInvalid as error:  # a single column
            raise ConfigError("rows", f"must be {KINDS}", type(rows).__name__) from error
    if isinstance(rows, Mapping) and all(
        isinstance(values, Iterable) and not isinstance(values, str) for values in rows.values()
    ):
        return _table([(str(name), values) for name, values in rows.items()])
    if isinstance(rows, Sequence) and all(isinstance(row, Mapping) for row in rows):
        names = dict.fromkeys(name for row in rows for name in row)
        return _table([(str(name), [row.get(name) for row in rows]) for name in names])
    raise ConfigError("rows", f"must be {KINDS}", type(rows).__name__)


def _table(columns: Sequence[tuple[str, Any]]) -> pa.Table:
    arrays = [_array(values, name) for name, values in columns]
    if len({len(array) for array in arrays}) > 1:
        lengths = ", ".join(
            f"{name} {len(array)}" for (name, _), array in zip(columns, arrays, strict=True)
        )
        raise DataError("rows", "must have columns of one length", lengths[:300])
    return pa.Table.from_arrays(arrays, names=[name for name, _ in columns])


def _array(values: Any, name: str) -> pa.Array:
    try:
        if isinstance(values, pd.Series) and values.dtype == object:
            array = _python_values(values.tolist())
        elif isinstance(values, pd.Series) and isinstance(values.dtype, pd.CategoricalDtype):
            codes = pa.array(
                values.cat.codes.to_numpy().astype("int32"), mask=values.isna().to_numpy()
            )
            array = pa.DictionaryArray.from_arrays(
                codes, _array(values.cat.categories.to_series(), name)
            )
        elif isinstance(values, pa.Array | pa.ChunkedArray):
            array = values
        elif hasattr(values, "dtype") and values.dtype != object:
            array = pa.array(values, from_pandas=True)
        else:
            array = _python_values(list(values))
    except (pa.ArrowException, OverflowError, UnicodeDecodeError) as error:
        rule = _RULE
        place, got = f"column '{name}'", " ".join(str(error).split())[:200]
        if (odd := _odd_one(values)) is not None:
            row, value, rule = odd
            place, got = f"row {row}, {place}", repr(value)[:80]
        raise DataError(f"rows: {place}", rule, got, "mend the value, or leave it out") from error
    return pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array


def _odd_one(values: Any) -> tuple[int, Any, str] | None:
    """The row, from 1, and the value that no column of Arrow takes, and the rule it breaks: it is
    of no type, or a list among values that are none, or the other way round.
    """
    rows = [(row, value) for row, value in enumerate(values, 1) if not _is_missing(value)]
    for row, value in rows:
        try:
            _python_values([value])
        except (pa.ArrowException, OverflowError, UnicodeDecodeError):
            return row, value, _RULE
    mostly_lists = 2 * sum(_is_list(value) for _, value in rows) > len(rows)
    rule = "must hold lists in all rows or in none"
    return next(((row, v, rule) for row, v in rows if _is_list(v) is not mostly_lists), None)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple | np.ndarray)


def _python_values(values: list[Any]) -> pa.Array:
    """A column of Python values; of several types, as their texts, since Arrow would make floats of
    whole numbers.
    """
    types = {type(value) for value in values if not _is_missing(value)}
    if types and types <= {list, tuple, np.ndarray}:
        flat = [one for value in values if not _is_missing(value) for one in value]
        lengths = np.array([0 if _is_missing(value) else len(value) for value in values])
        return pa.ListArray.from_arrays(
            pa.array(np.append(0, np.cumsum(lengths)).astype(np.int32)), _python_values(flat)
        )
    try:
        if len(types) <= 1:
            return pa.array([None if _is_missing(value) else value for value in values])
    except (OverflowError, pa.ArrowInvalid):
        if types != {int}:
            raise
        return pa.array(
            [None if _is_missing(value) else str(value) for value in values], pa.string()
        )
    return _mixed(values, types)


def _mixed(values: list[Any], types: set[type]) -> pa.Array:
    """The texts of values of several types, each type read as a column of its own."""
    mixed = np.full(len(values), "", object)
    for kind in types:
        places = [
            i for i, value in enumerate(values) if type(value) is kind and not _is_missing(value)
        ]
        texts = as_text(_python_values([values[i] for i in places]))
        mixed[places] = texts.dictionary.take(texts.indices).to_pylist()
    return pa.array(mixed, pa.string())


def _is_missing(value: Any) -> bool:
    """None, NaN, NaT or pandas' NA."""
    return (
        value is None
        or value is pd.NA
        or value is pd.NaT
        or (isinstance(value, float | np.floating) and value != value)
    )


@keeps_data
def keep_frame(frame: Any, settings: DatasetConfig | Mapping[str, Any], *, data_dir: Path) -> Path:
    """Write rows and their settings below `<data_dir>/frames`, under their content's hash; gives
    the data set's YAML.

    Args:
        frame: the rows, of a kind that `as_table` takes.
        settings: the data set, as its YAML file would say it; `files` is not needed and not read.
        data_dir: where raw and prepared data are kept.

    Raises:
        ConfigError: the settings break a rule.
        DataError: a column that no file can hold.
    """
    plain = (
        settings.model_dump(mode="json") if isinstance(settings, DatasetConfig) else dict(settings)
    )
    plain["files"] = {"train": ROWS}
    config = build(DatasetConfig, plain, "data set of a DataFrame")
    table = as_table(frame).replace_schema_metadata()
    folder = data_dir.absolute() / FRAMES
    with scratch_folder(folder) as scratch:
        write_table(scratch / ROWS, table)
        content = str(fingerprint(scratch / ROWS)["sha256"])
    home = folder / f"{config.name}-{checksum([plain, content])[:12]}"
    if not (home / YAML).exists():
        with StagedFolder(home) as staged:
            write_table(staged / ROWS, table)
            write_json(staged / YAML, plain)  # JSON is YAML
    return home / YAML


@keeps_data
def keep_settings(config: DatasetConfig, *, data_dir: Path) -> Path:
    """Write a data set's settings below `<data_dir>/frames`, under their hash; gives the YAML.

    Args:
        config: the data set, with absolute paths.
        data_dir: where raw and prepared data are kept.
    """
    plain = config.model_dump(mode="json")
    home = data_dir.absolute() / FRAMES / f"{config.name}-{checksum(plain)[:12]}"
    if not (home / YAML).exists():
        with StagedFolder(home) as staged:
            write_json(staged / YAML, plain)
    return home / YAML
