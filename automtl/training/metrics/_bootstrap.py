"""How far an AUC may be off: percentile bootstrap over rows, or over the groups that rows come in
(users, queries).

Legend: n rows, P positives, N negatives, U units that are drawn with replacement.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from automtl.statistics import LEVEL
from automtl.training.metrics.auc import Array, checked, ranks


class Resamples:
    """Draws of as many units as there are, with replacement (Efron 1979); the same for every model
    and task that is given them.

    Rows of one user are alike, and drawing them one by one would promise more than they tell; units
    keep them together.

    Args:
        count: how many draws.
        units: (n,) the unit of each row, any whole numbers; None: every row is one.
        rows: n.
        seed: of the draws.
    """

    def __init__(self, count: int, *, units: Array | None, rows: int, seed: int) -> None:
        self.count, self._seed = count, seed
        self._unit = np.arange(rows) if units is None else np.unique(units, return_inverse=True)[1]
        self._units = int(self._unit.max(initial=-1)) + 1

    def auc_interval(
        self, labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None
    ) -> tuple[float, float] | None:
        """The 95% interval of the AUC; None where a class is absent. Resamples without one of the
        classes are left out.

        Shape: labels, scores, weights (n,); rows whose label is NaN are left out.

        Raises:
            DataError, NumericalError: as `auc`.
        """
        marks, values = np.asarray(labels), np.asarray(scores)
        there = np.flatnonzero(~np.isnan(marks))
        shares = None if weights is None else np.asarray(weights)[there]
        positive, values, shares = checked("bootstrap", marks[there], values[there], shares)
        order = np.argsort(values, kind="stable")
        # rows of each class, rising by score
        few, many = order[positive[order]], order[~positive[order]]
        if not (few.size and many.size):
            return None
        below, upto = ranks(
            values[many], values[few]
        )  # (P,) negatives below, and not above, each positive
        units = [self._unit[there[rows]] for rows in (few, many)]
        weight = [
            np.ones(rows.size) if shares is None else shares[rows].astype(np.float64)
            for rows in (few, many)
        ]
        areas = [
            area
            for drawn in self._draws()
            if (area := _area(drawn, units, weight, below, upto)) is not None
        ]
        if not areas:
            return None
        low, high = np.quantile(areas, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return float(low), float(high)

    def _draws(self) -> Iterator[Array]:
        """How often each unit is drawn, draw by draw. Shape: (U,)."""
        generator = np.random.default_rng(self._seed)
        for _ in range(self.count):
            yield np.bincount(
                generator.integers(0, self._units, self._units), minlength=self._units
            )


def _area(
    drawn: Array, units: list[Array], weight: list[Array], below: Array, upto: Array
) -> float | None:
    """AUC where each row counts as often as its unit was drawn."""
    few, many = (drawn[unit] * own for unit, own in zip(units, weight, strict=True))
    upto_here = np.concatenate([[0.0], np.cumsum(many)])  # weight of the first i negatives
    pairs = few.sum() * upto_here[-1]
    return float(few @ (upto_here[below] + upto_here[upto]) / 2 / pairs) if pairs else None
