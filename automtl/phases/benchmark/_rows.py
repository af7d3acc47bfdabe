"""Which rows of a data set a table trains on, and which it judges by."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from automtl.data.store.batches import Batches
from automtl.data.store.row_keys import draw_rows, row_keys
from automtl.errors import DataError, counted
from automtl.phases.benchmark.settings import TableSettings
from automtl.phases.run.session import Session

JUDGES = ("a", "b", "validation")


@dataclass(frozen=True)
class TableRows:
    """Fit rows train, A rows drive the rungs of a replayed halving, B rows pick the epoch,
    validation rows are the truth.

    Args:
        session: the data.
        settings: how many rows.
    """

    session: Session
    settings: TableSettings

    @cached_property
    def fit(self) -> np.ndarray:
        """The rows that train, of the training split."""
        store = self.session.store
        rows = draw_rows(self._train_keys, store.fit_index, self.settings.fit_rows, purpose="fit")
        if len(rows) < 2:
            raise DataError("fit rows", "must be two or more", len(rows), "bring more rows")
        return rows

    @cached_property
    def judges(self) -> dict[str, tuple[str, np.ndarray]]:
        """Per judge ("a", "b", "validation") its split and rows."""
        first, second = self.session.index("a"), self.session.index("b")
        validation = self.session.store.rows("validation")
        most = self.settings.judged_rows
        named = {
            "a": ("train", draw_rows(self._train_keys, first, most, purpose="a")),
            "b": ("train", draw_rows(self._train_keys, second, most, purpose="b")),
            "validation": (
                "validation",
                draw_rows(
                    row_keys(validation), np.arange(len(validation)), most, purpose="validation"
                ),
            ),
        }
        for name, (split, rows) in named.items():
            self._check(name, np.asarray(self.session.store.rows(split).labels[rows]))
        return named

    def _check(self, name: str, labels: np.ndarray) -> None:
        """Rows that judge must have labels of every task, since without them there is no
        MTL-Loss.
        """
        known = (~np.isnan(labels)).sum(axis=0)
        for task, count in zip(self.session.schema.tasks, known, strict=True):
            if not count:
                rule = f"must have a label of task '{task.name}'"
                raise DataError(
                    f"{name} rows",
                    rule,
                    f"none in {counted(len(labels), 'row')}",
                    "bring more rows, or raise --judged-rows",
                )

    @cached_property
    def _train_keys(self) -> np.ndarray:
        return row_keys(self.session.store.rows("train"))

    def training(self, seed: int) -> Batches:
        """Shuffled batches of the fit rows."""
        config, rows = self.session.config, self.session.store.rows("train")
        size, block = config.retrain.batch_size, config.data.shuffle_block
        return Batches(rows, batch_size=size, index=self.fit, shuffle=True, block=block, seed=seed)

    def judging(self, judge: str) -> Batches:
        """A judge's rows in order."""
        split, index = self.judges[judge]
        return self.session.rows_in_order(split, index)

    def counts(self) -> dict[str, int]:
        """The number of rows of each role."""
        return {
            "fit": len(self.fit),
            **{name: len(rows) for name, (_, rows) in self.judges.items()},
        }
