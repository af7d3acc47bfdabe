"""Binary labels that are written as two words, such as yes and no."""

import numpy as np
import pyarrow as pa

from automtl.data.raw.columns import Columns
from automtl.data.spec.sections import TaskConfig
from automtl.data.values.forms import normal, plain
from automtl.data.values.text_columns import spread


class TwoWords:
    """Reads a task's labels: 1 where they are its `positive`, 0 where they are the one other word
    of all rows.

    Args:
        task: with `positive`.

    Attributes:
        negative: the other word, once it was seen; "" before.
    """

    def __init__(self, task: TaskConfig) -> None:
        self._task, self._positive = task, normal(plain(pa.array([task.positive]), ()))[0].as_py()
        self.negative = ""

    def __call__(self, columns: Columns) -> np.ndarray:
        """The labels of one piece of rows, NaN where missing.

        Raises:
            DataError: there is a third word.
        """
        column, task = columns.classes(self._task.label), self._task
        words = np.array(column.dictionary.to_pylist(), dtype=object)
        rows = np.bincount(column.indices.to_numpy(), minlength=len(words))
        # the commonest first: a word that was mistyped is not taken for the other of the two
        for code in np.argsort(-rows, kind="stable")[: np.count_nonzero(rows)].tolist():
            word = words[code]
            if word in ("", self._positive, self.negative):
                continue
            if self.negative:
                rule = (
                    f"must be {task.positive!r} or {self.negative!r} for the binary task "
                    f"'{task.name}' (positive: {task.positive})"
                )
                fix = f"mend the value, or use kind: multiclass for task '{task.name}'"
                columns.fail(
                    task.label, column.indices.to_numpy() == code, rule, repr(word[:80]), fix
                )
            self.negative = word
        return spread(
            np.where(words == "", np.nan, (words == self._positive).astype(float)), column
        )
