"""The predict phase: a trained model on new rows, streamed, one output column per task."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from automtl import files
from automtl.data.access.paths import find_files
from automtl.data.prepare.frames import as_table
from automtl.errors import ConfigError, counted
from automtl.phases.finished._predictor import Predictor
from automtl.phases.run.reporter import Reporter, Silent

SUFFIXES = (".parquet", ".pq", ".csv")


def predict_file(
    run: Path,
    source: Path,
    out: Path,
    *,
    keep: Sequence[str] = (),
    device: str = "auto",
    average: bool = False,
    reporter: Reporter | None = None,
) -> int:
    """Predict on a file, of any format that training reads, or a folder of them, and write a
    Parquet or CSV file, piece by piece.

    Args:
        run: a retrain folder, a run with some of one model, or an export in ONNX.
        source: the rows; columns that the model does not read are ignored.
        out: the file to write, CSV or Parquet by its name; it appears when it is whole.
        keep: columns to hand back in front of the predictions, as text.
        device: where to run.
        average: of a run with several seeds, the mean of their predictions; else those of the best
            one on the validation rows.
        reporter: told what is ignored and how many rows are done.

    Returns:
        How many rows were predicted.

    Raises:
        DataError: a column is missing, or a value cannot be read.
        ConfigError: `out` is neither a Parquet nor a CSV file, or among the rows; or a kept column
            has a prediction's name.
    """
    if out.suffix not in SUFFIXES:
        raise ConfigError("--out", f"must end in {' or '.join(SUFFIXES)}", out.name)
    _need_apart(source, out)
    reporter, done = reporter or Silent(), 0
    predictor = Predictor(run, device, reporter, average=average)
    tables = predictor.tables(predictor.server.files(source, keep))
    with files.stream(out) as stream:
        writer: pq.ParquetWriter | csv.CSVWriter | None = None
        for table in tables:
            table = _flat(table) if out.suffix == ".csv" else table
            if writer is None:
                writer = (csv.CSVWriter if out.suffix == ".csv" else pq.ParquetWriter)(
                    stream, table.schema
                )
            writer.write_table(table)
            done += table.num_rows
        if writer is None:
            raise ConfigError(source, "must have rows to predict on", "none")
        writer.close()
    reporter.say(f"{counted(done, 'row')}: {out}")
    return done


def _need_apart(source: Path, out: Path) -> None:
    """Refuse to write predictions over the rows that they are of, or beside them into a folder of
    rows, where they would be rows themselves.
    """
    inside = source.is_dir() and source.resolve() in out.resolve().parents
    rows = find_files([str(source)], "input") if out.exists() and not inside else []
    if inside or any(path.exists() and path.samefile(out) for path in rows):
        raise ConfigError("--out", "must not be among the rows to predict on", out, "name another")


def _flat(table: pa.Table) -> pa.Table:
    """The table with a column for each class's probability in place of their lists, for CSV."""
    columns: dict[str, Any] = {}
    for name in table.column_names:
        column = table[name]
        if pa.types.is_fixed_size_list(column.type):
            size = column.type.list_size
            columns |= {f"{name}_{i}": pc.list_element(column, i) for i in range(size)}
        else:
            columns[name] = column
    return pa.table(columns)


def predict_frame(
    run: Path,
    frame: Any,
    *,
    keep: Sequence[str] = (),
    device: str = "auto",
    average: bool = False,
    reporter: Reporter | None = None,
) -> pd.DataFrame:
    """Predict on rows in memory: a DataFrame with the kept columns and a column per task, and the
    index of the rows where they have one.

    Args:
        run: a retrain folder, a run with some of one model, or an export in ONNX.
        frame: the rows, of a kind that `as_table` takes; columns that the model does not read are
            ignored.
        keep: columns to hand back.
        device: where to run.
        average: see `predict_file`.
        reporter: told what is ignored.

    Raises:
        DataError: a column is missing, or a value cannot be read.
    """
    predictor = Predictor(run, device, reporter or Silent(), average=average)
    table = as_table(frame)
    if not table.num_rows:
        raise ConfigError("rows", "must have rows to predict on", "none")
    absent = [name for name in keep if name not in table.column_names]
    if absent:
        raise ConfigError(
            "keep",
            "must be columns of the rows",
            ", ".join(absent),
            f"they have {', '.join(table.column_names)[:300]}",
        )
    tables = list(predictor.tables(predictor.server.table(table, ())))
    front = frame if isinstance(frame, pd.DataFrame) else table.select(list(keep)).to_pandas()
    predictions = pa.concat_tables(tables).to_pandas().set_index(front.index)
    if clash := [name for name in keep if name in predictions.columns]:
        rule = "must not have the name of a prediction"
        raise ConfigError("keep", rule, clash[0], "leave it out")
    both: pd.DataFrame = pd.concat([front[list(keep)], predictions], axis=1)
    return both
