"""Values so far from all others that they alone decide a column's standard deviation, and squash
the rest to one number.
"""

from typing import Self

import numpy as np

from automtl.data.values.sums import Sum

# rows that may carry a column's variance without a word being said of it, at least one in a
# thousand
MOST = 10
NEARLY_ALL, FEW = 0.9, 100
LARGEST = 1e100  # of a number: the squares of larger ones, summed, leave the range of floats


class Extremes(Sum):
    """The smallest and the largest values of a column."""

    summed = ("_values",)

    def __init__(self) -> None:
        self._values = np.zeros(0)

    def add(self, values: np.ndarray) -> None:
        """Add the values of one batch; NaN is missing."""
        both = np.sort(np.concatenate([self._values, values[~np.isnan(values)]]))
        self._values = (
            both if len(both) <= 2 * MOST else np.concatenate([both[:MOST], both[-MOST:]])
        )

    def merge(self, later: Self) -> None:
        """Add the values of later rows."""
        self.add(later._values)

    def remark(self, name: str, count: int, mean: float, std: float) -> str | None:
        """A line, where a few values carry nearly all of the variance of `count` ones."""
        far = self._values[np.argsort(-np.abs(self._values - mean), kind="stable")][:MOST]
        shares = (
            np.cumsum((far - mean) ** 2) / (count * std * std)
            if count >= FEW and std > 0
            else np.zeros(0)
        )
        rows = (
            int(np.argmax(shares >= NEARLY_ALL)) + 1 if (shares >= NEARLY_ALL).any() else MOST + 1
        )
        if rows > max(1, min(MOST, count // 1000)):
            return None
        what = (
            f"one value, {far[0]:g}, carries"
            if rows == 1
            else f"{rows} values, such as {far[0]:g}, carry"
        )
        share = (
            f"{shares[rows - 1]:.1%} of the variance of {count:,}, so that all others become "
            "nearly the same"
        )
        return (
            f"column '{name}': {what} {share}; mend or drop such rows, or set transform: quantile"
        )
