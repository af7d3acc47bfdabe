"""Columns that alone tell a label, found before anything is trained on them.

Each feature's value is scored by the label's rate among the OTHER folds' rows of that value; a
user's in-sample mean would look like a leak and is none. Only values with enough rows count, and
the column that the data are split by is left out.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from automtl.data.spec.dataset import DatasetConfig
from automtl.data.store import Rows
from automtl.data.store.id_lists import Lists
from automtl.data.store.schema import Schema
from automtl.data.values.hashing import mix, share
from automtl.errors import DataError

LEAK_AUC = 0.995
MIN_ROWS = 20
FOLDS = 5
SAMPLE_ROWS = 400_000
BINS = 256
EDGE_ROWS = 20_000


def cell_auc(scores: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> float | None:
    """Area under the ROC curve of cells of rows that share a score; None where one class is
    absent.
    """
    _, rank = np.unique(scores, return_inverse=True)
    positive, negative = np.bincount(rank, weights=positives), np.bincount(rank, weights=negatives)
    pairs = positive.sum() * negative.sum()
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / pairs) if pairs else None


def one_feature_auc(values: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> float | None:
    """Out-of-fold AUC of one column of small non-negative integers for a 0/1 label; NaN labels are
    left out.
    """
    return _auc_of_cells(values.astype(np.int64) * FOLDS + folds, LabelRows(labels))


class LabelRows:
    """Where a 0/1 label is there, and where it is 1, looked up once for all columns.

    Attributes:
        there: row numbers, or all rows.
        positive: row numbers.
    """

    def __init__(self, labels: np.ndarray) -> None:
        missing = np.isnan(labels)
        self.there: np.ndarray | slice = np.flatnonzero(~missing) if missing.any() else slice(None)
        self.positive = np.flatnonzero(labels == 1)


def _auc_of_cells(cells: np.ndarray, label: LabelRows) -> float | None:
    """As `one_feature_auc`, from value * FOLDS + fold."""
    if int(cells.max(initial=-1)) // FOLDS > len(cells):  # more ids than rows of the sample
        values, folds = np.divmod(cells, FOLDS)
        cells = np.unique(values, return_inverse=True)[1] * FOLDS + folds
    size = (int(cells.max(initial=-1)) // FOLDS + 1) * FOLDS
    rows, positives = (
        np.bincount(cells[chosen], minlength=size).reshape(-1, FOLDS)
        for chosen in (label.there, label.positive)
    )
    common = rows.sum(1) >= MIN_ROWS
    rows, positives = rows[common], positives[common]
    others = rows.sum(1, keepdims=True) - rows
    others_positive = positives.sum(1, keepdims=True) - positives
    mean = positives.sum() / max(rows.sum(), 1)
    scores = np.where(others > 0, others_positive / np.maximum(others, 1), mean)
    return cell_auc(scores.ravel(), positives.ravel(), (rows - positives).ravel())


class LeakCheck:
    """Gathers a sample of the training rows, by their draws, and looks for leaks in it.

    Args:
        config: the data set.
        schema: its fields and tasks.
        train_rows: rows of the training split.
    """

    def __init__(self, config: DatasetConfig, schema: Schema, train_rows: int) -> None:
        self._schema, self._rate = schema, SAMPLE_ROWS / max(train_rows, 1)
        self._excused = {*config.allow_leak, config.split.column}
        self._parts: list[tuple[np.ndarray, ...]] = []

    ARRAYS: ClassVar[int] = 5  # of a sample

    def add(self, rows: Rows, train: np.ndarray, draws: np.ndarray) -> None:
        """Take in one batch with its rows' draws; `train` marks the rows of the training split."""
        sampled = np.flatnonzero(train & (share(draws, 0, "leak sample") < self._rate))
        folds = (share(draws[sampled], 0, "leak fold") * FOLDS).astype(np.int64)
        lists = [_list_hashes(field.take(sampled)) for field in rows.lists]
        codes = np.stack(lists, axis=1) if lists else np.zeros((len(sampled), 0), np.uint64)
        self._parts.append(
            (rows.ids[sampled], rows.dense[sampled], rows.labels[sampled], folds, codes)
        )

    def sample(self) -> tuple[np.ndarray, ...]:
        """The sample so far."""
        return tuple(np.concatenate(parts) for parts in zip(*self._parts, strict=True))

    def add_sample(self, sample: tuple[np.ndarray, ...]) -> None:
        """Add the sample of later rows."""
        self._parts.append(sample)

    def check(self) -> None:
        """Refuse a feature that alone tells a binary label.

        Raises:
            DataError: there is one; the message names it.
        """
        ids, dense, labels, folds, lists = self.sample()
        schema = self._schema
        tasks = {
            t.name: LabelRows(label)
            for t, label in zip(schema.tasks, labels.T, strict=True)
            if t.kind == "binary"
        }
        for field, values in zip(schema.categorical, ids.T, strict=True):
            self._check_field(field.name, values, folds, tasks)
        for field, codes in zip(schema.lists, lists.T, strict=True):
            self._check_field(field.name, np.unique(codes, return_inverse=True)[1], folds, tasks)
        for field, numbers in zip(schema.numeric, dense.T, strict=True):
            self._check_field(field.indicator_of or field.name, _binned(numbers), folds, tasks)

    def _check_field(
        self, name: str, values: np.ndarray, folds: np.ndarray, tasks: Mapping[str, LabelRows]
    ) -> None:
        if name in self._excused:
            return
        cells = values.astype(np.int64) * FOLDS + folds
        for task, label in tasks.items():
            auc = _auc_of_cells(cells, label)
            if auc is not None and auc > LEAK_AUC:
                rule = f"must not tell the label of task '{task}' by itself"
                got = f"an out-of-fold AUC of {auc:.4f} from this column alone"
                raise DataError(
                    f"feature '{name}'",
                    rule,
                    got,
                    "take it out, or name it in allow_leak if it is known before the outcome",
                )


def _list_hashes(lists: Lists) -> np.ndarray:
    """One number per list, whatever the order of its ids. Shape: (n,) uint64."""
    sums = np.concatenate(
        [np.zeros(1, np.uint64), np.cumsum(mix(lists.values.astype(np.uint64)), dtype=np.uint64)]
    )
    return np.asarray(sums[lists.offsets[1:]] - sums[lists.offsets[:-1]])


def _binned(values: np.ndarray) -> np.ndarray:
    # edges need not be exact: any fine cut shows a leak
    some = values[:: max(len(values) // EDGE_ROWS, 1)]
    edges: Sequence[float] | np.ndarray = np.unique(np.quantile(some, np.linspace(0, 1, BINS + 1)))
    return np.searchsorted(np.asarray(edges, values.dtype), values, side="right")
