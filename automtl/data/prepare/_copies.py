"""Rows whose whole content comes more than once, counted, and told apart so that chance may treat
each on its own.

Of equal rows the k-th (k = 0, 1, ..., per role) draws by `draws(hash, k)`. They are the same in all
that is kept of them, so which of them is the k-th does not matter: neither does the order of rows
and files, and a copy that comes later moves none before it.
"""

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import pyarrow as pa

from automtl.data.prepare.split import ALPHA
from automtl.data.store.schema import SPLITS
from automtl.data.values.hashing import draws


class Copies:
    """The contents that come more than once.

    Args:
        contents: their hashes, rising.
        count: rows that are copies of another, the first of each left out.
        together: equal rows draw alike.
        seen: by role and content, how many rows of a content came before these rows.
    """

    def __init__(
        self,
        contents: np.ndarray,
        count: int,
        *,
        together: bool,
        seen: np.ndarray | None = None,
    ) -> None:
        self.contents, self.count, self._together = contents, count, together
        self.rows = np.zeros((len(SPLITS), len(contents)), np.int32)
        self._seen = np.zeros_like(self.rows) if seen is None else seen

    @classmethod
    def among(cls, hashes: np.ndarray, *, together: bool) -> Self:
        """The contents that come twice among all rows' hashes, which are sorted in place."""
        hashes.sort()
        later = hashes[1:][hashes[1:] == hashes[:-1]]
        return cls(np.unique(later), len(later), together=together)

    def with_draws(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The digests, in their order, each with one more column: `draw` (uint64), by
        which chance decides on a row.
        """
        seen = self._seen.ravel().copy()
        for batch in batches:
            column = batch.column("hash")
            if len(self.contents) and not self._together:
                column = pa.array(
                    self._drawn(column.to_numpy(), batch.column("role").to_numpy(), seen)
                )
            yield batch.append_column("draw", column)

    def _drawn(self, hashes: np.ndarray, roles: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """Each row's draw by which copy of its content it is, from 0; `seen` goes on by as many."""
        rows, contents = self._find(hashes)
        cells, inverse, counts = np.unique(
            roles[rows] * np.int64(len(self.contents)) + contents,
            return_inverse=True,
            return_counts=True,
        )
        order = np.argsort(inverse, kind="stable")
        before = np.repeat(seen[cells] - (np.cumsum(counts) - counts), counts)
        numbers = (before + np.arange(len(rows))).astype(np.uint64)
        seen[cells] += counts
        drawn = hashes.copy()
        drawn[rows[order]] = draws(hashes[rows[order]], numbers)
        return drawn

    def _find(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which rows come more than once, and the number of each one's content."""
        if not len(self.contents):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        places = np.minimum(np.searchsorted(self.contents, hashes), len(self.contents) - 1)
        rows = np.flatnonzero(self.contents[places] == hashes)
        return rows, places[rows]

    def add(self, hashes: np.ndarray, parts: np.ndarray) -> None:
        """Count the parts that the copies in a batch are in."""
        rows, contents = self._find(hashes)
        np.add.at(self.rows, (np.maximum(parts[rows] - ALPHA, 0), contents), 1)

    def summary(self) -> dict[str, Any]:
        """How many rows are copies, and how many rows of validation and test are copies of a
        training row.
        """
        return {"rows": self.count, **of_training(self.rows)}


def of_training(rows: np.ndarray) -> dict[str, int]:
    """Rows of validation and test whose content a training row has, from the rows of each content.

    Shape: (splits, contents).
    """
    known = rows[0] > 0
    return {
        split: int(there[known].sum()) for split, there in zip(SPLITS[1:], rows[1:], strict=True)
    }
