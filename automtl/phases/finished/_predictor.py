"""A trained model that answers rows: of a run, or an export of one."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from automtl.data.prepare.new_rows import Served, Server
from automtl.data.store import Rows
from automtl.data.store.batches import Batches
from automtl.data.store.schema import Task
from automtl.errors import ConfigError
from automtl.exports.folder import is_export
from automtl.exports.network import output_name
from automtl.phases.finished._exported import Answers, exported
from automtl.phases.finished._seeds import models_of
from automtl.phases.finished.open import load_net, session_of
from automtl.phases.run.reporter import Reporter, Silent
from automtl.phases.run.run_data import snapshot_of
from automtl.runs.run_dir import PhaseDir
from automtl.training.metrics.answers import answers_of
from automtl.training.metrics.evaluation import predict as outputs_of


class Predictor:
    """A trained model, ready for rows: of a run, or an export of one.

    Raises:
        ArtifactError: neither, or an export whose files are not as they were written.
    """

    def __init__(self, run: Path, device: str, reporter: Reporter, *, average: bool) -> None:
        if is_export(run):
            if average:
                raise ConfigError("--average", "is for a run with several seeds", run)
            self.server, self._tasks, self._answers = exported(run, reporter)
            return
        folders = models_of(run, average=average, reporter=reporter)
        self.server, self._tasks, *first = _trained(folders[0], device, reporter)
        others = [_trained(folder, device, Silent())[2] for folder in folders[1:]]
        self._answers = _mean([*first, *others])

    def tables(self, served: Iterator[Served]) -> Iterator[pa.Table]:
        """Kept columns and predictions, piece by piece."""
        for part in served:
            if not len(part.rows):
                continue
            columns = {name: part.kept[name] for name in part.kept.column_names}
            for task, values in zip(self._tasks, self._answers(part.rows), strict=True):
                for name, column in _columns(task, values).items():
                    if name in columns:
                        raise ConfigError(
                            "keep", "must not have the name of a prediction", name, "leave it out"
                        )
                    columns[name] = column
            yield pa.table(columns)


def _mean(models: Sequence[Answers]) -> Answers:
    """The mean of several models' answers; of one, its own."""

    def answers(rows: Rows) -> list[np.ndarray]:
        pairs = zip(*(model(rows) for model in models), strict=True)
        return [np.stack(task).mean(axis=0, dtype=np.float64).astype(np.float32) for task in pairs]

    return models[0] if len(models) == 1 else answers


def _trained(
    folder: PhaseDir, device: str, reporter: Reporter
) -> tuple[Server, tuple[Task, ...], Answers]:
    """A trained network."""
    session, own = session_of(folder, device, reporter), snapshot_of(folder)
    net, size = load_net(folder, session), session.config.runtime.eval_batch_size
    server = Server(own, own.served(), say=reporter.say)

    def answers(rows: Rows) -> list[np.ndarray]:
        logits = outputs_of(net, Batches(rows, batch_size=size), device=session.device).logits
        return [
            _answer(task, values) for task, values in zip(session.schema.tasks, logits, strict=True)
        ]

    return server, session.schema.tasks, answers


def _answer(task: Task, logits: np.ndarray) -> np.ndarray:
    """Probabilities, or values in the label's own unit, their transform undone; float32."""
    values = answers_of(task, logits.astype(np.float64) + task.logit_offset)
    return (np.expm1(values) if task.transform == "log1p" else values).astype(np.float32)


def _columns(task: Task, values: np.ndarray) -> dict[str, pa.Array]:
    """A task's predictions as columns; of classes, their probabilities in order and the likeliest
    class.
    """
    if task.kind != "multiclass":
        return {output_name(task): pa.array(values)}
    lists = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    return {
        output_name(task): lists,
        f"class_{task.name}": pa.array([task.class_names[i] for i in values.argmax(axis=1)]),
    }
