"""The predict phase: a trained model on new rows, streamed, one output column per task."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import expit, softmax
from torch import nn

from automtl import files
from automtl.data.batches import Batches
from automtl.data.dataset import default_data_dir, load_dataset
from automtl.data.schema import Task
from automtl.data.serving import Served, Server
from automtl.errors import ConfigError
from automtl.phases.evaluate import session_of
from automtl.phases.retrain import load_net
from automtl.phases.session import Reporter, Session, Silent
from automtl.runs.run_dir import one_phase
from automtl.training.evaluation import predict as outputs_of

SUFFIXES = (".parquet", ".pq")


def predict_file(
    run: Path, source: Path, out: Path, *, keep: Sequence[str] = (), device: str = "auto", reporter: Reporter | None = None
) -> int:
    """Predict on a CSV or Parquet file, or a folder of them, and write a Parquet file, piece by piece.

    Args:
        run: a retrain folder, or a run with one.
        source: the rows; columns that the model does not read are ignored.
        out: the Parquet file to write; it appears when it is whole.
        keep: columns to hand back in front of the predictions, as text.
        device: where to run.
        reporter: told what is ignored and how many rows are done.

    Returns:
        How many rows were predicted.

    Raises:
        DataError: a column is missing, or a value cannot be read.
        ConfigError: `out` is no Parquet file, or a kept column has a prediction's name.
    """
    if out.suffix not in SUFFIXES:
        raise ConfigError("--out", f"must end in {' or '.join(SUFFIXES)}", out.name)
    reporter, done = reporter or Silent(), 0
    predictor = _Predictor(run, device, reporter)
    tables = predictor.tables(predictor.server.files(source, keep))
    with files.stream(out) as stream:
        writer: pq.ParquetWriter | None = None
        for table in tables:
            writer = writer or pq.ParquetWriter(stream, table.schema)
            writer.write_table(table)
            done += table.num_rows
        if writer is None:
            raise ConfigError(source, "must have rows to predict on", "none")
        writer.close()
    reporter.say(f"{done:,} rows: {out}")
    return done


def predict_frame(
    run: Path, frame: pd.DataFrame, *, keep: Sequence[str] = (), device: str = "auto", reporter: Reporter | None = None
) -> pd.DataFrame:
    """Predict on a DataFrame: one with its index, the kept columns as they are, and a column per task.

    Args:
        run: a retrain folder, or a run with one.
        frame: the rows; columns that the model does not read are ignored.
        keep: columns to hand back.
        device: where to run.
        reporter: told what is ignored.

    Raises:
        DataError: a column is missing, or a value cannot be read.
    """
    predictor = _Predictor(run, device, reporter or Silent())
    absent = [name for name in keep if name not in frame.columns]
    if absent:
        raise ConfigError("keep", "must be columns of the DataFrame", ", ".join(absent))
    tables = list(predictor.tables(predictor.server.frame(frame, ())))
    if not tables:
        raise ConfigError("frame", "must have rows to predict on", "none")
    found = pa.concat_tables(tables).to_pandas().set_index(frame.index)
    both: pd.DataFrame = pd.concat([frame[list(keep)], found], axis=1)
    return both


class _Predictor:
    """A trained model, ready for rows."""

    def __init__(self, run: Path, device: str, reporter: Reporter) -> None:
        folder = one_phase(run, "retrain")
        self._session: Session = session_of(folder, device, reporter)
        self._net: nn.Module = load_net(folder, self._session)
        data = self._session.config.data
        data_dir = Path(data.dir) if data.dir else default_data_dir()
        self.server = Server(self._session.store, load_dataset(data.source), data_dir=data_dir, say=reporter.say)

    def tables(self, served: Iterator[Served]) -> Iterator[pa.Table]:
        """Kept columns and predictions, piece by piece."""
        tasks, size = self._session.schema.tasks, self._session.config.runtime.eval_batch_size
        for part in served:
            if not len(part.rows):
                continue
            logits = outputs_of(self._net, Batches(part.rows, batch_size=size), device=self._session.device).logits
            columns = {name: part.kept[name] for name in part.kept.column_names}
            for task, values in zip(tasks, logits, strict=True):
                for name, column in PREDICTIONS[task.kind](task, values).items():
                    if name in columns:
                        raise ConfigError("keep", "must not have the name of a prediction", name, "leave it out")
                    columns[name] = column
            yield pa.table(columns)


def _binary(task: Task, logits: np.ndarray) -> dict[str, pa.Array]:
    return {f"probs_{task.name}": pa.array(expit(logits.astype(np.float64)).astype(np.float32))}


def _multiclass(task: Task, logits: np.ndarray) -> dict[str, pa.Array]:
    """Probabilities in the order of the classes, and the likeliest class."""
    probabilities = softmax(logits.astype(np.float64), axis=1).astype(np.float32)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(probabilities.ravel()), logits.shape[1])
    return {f"probs_{task.name}": lists, f"class_{task.name}": pa.array([task.class_names[i] for i in logits.argmax(axis=1)])}


def _regression(task: Task, standardised: np.ndarray) -> dict[str, pa.Array]:
    """In the label's own unit, its transform undone."""
    values = standardised.astype(np.float64) * task.std + task.mean
    return {f"value_{task.name}": pa.array((np.expm1(values) if task.transform == "log1p" else values).astype(np.float32))}


PREDICTIONS: dict[str, Callable[[Task, np.ndarray], dict[str, pa.Array]]] = {
    "binary": _binary,
    "multiclass": _multiclass,
    "regression": _regression,
}
