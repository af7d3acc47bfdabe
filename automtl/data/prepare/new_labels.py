"""The labels of rows in memory, read as those of training rows are."""

from typing import Any

import numpy as np
import pyarrow as pa

from automtl.data.prepare._digest import _label
from automtl.data.prepare._twowords import TwoWords
from automtl.data.prepare.new_rows import FRAME, table_reader
from automtl.data.raw.columns import Columns, plan_readings
from automtl.data.spec.dataset import Csv, DatasetConfig
from automtl.data.spec.sections import Split
from automtl.data.values.forms import missing_words


def labels_of(table: pa.Table, config: DatasetConfig) -> dict[str, np.ndarray]:
    """Per task, a label per row: 0 and 1 or numbers (in their own unit) with NaN where there is
    none or the task does not exist; classes as words, "" where there is none.

    Args:
        table: the rows (see `frames.as_table`).
        config: the data set.

    Raises:
        DataError: a column is missing, or a value is no label.
    """
    tasks = tuple(task.model_copy(update={"transform": "none"}) for task in config.tasks)
    none: dict[str, Any] = {"features": (), "keep": (), "group": None, "split": Split()}
    only = config.model_copy(update={**none, "tasks": tasks})
    words = {task.name: TwoWords(task) for task in tasks if task.positive is not None}
    labels: dict[str, list[np.ndarray]] = {task.name: [] for task in tasks}
    read = table_reader(table)
    for piece in read([FRAME], plan_readings(only), Csv(), lambda _: None):
        columns = Columns(piece, missing_words(config.csv.null_values))
        for task in tasks:
            column = _label(columns, task, words.get(task.name))
            labels[task.name].append(
                column.to_numpy(zero_copy_only=False)
                if task.kind != "multiclass"
                else np.array(column.to_pylist(), object)
            )
    return {name: np.concatenate(parts) for name, parts in labels.items()}
