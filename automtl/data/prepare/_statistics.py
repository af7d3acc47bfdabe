"""Sums and counts over batches, the same to the last bit for any order of rows and files: counts
are whole, sums exact.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import ndtri

from automtl.data.values.forms import Form, FormFinder
from automtl.data.values.sums import Sum
from automtl.errors import EnvironmentFault

COMPACT_ROWS = 2**20
MOST_BYTES = 2**31 - 2**20  # of texts in one array of Arrow's, which counts them in 32 bits
SAMPLE_ROWS = 100_000
LANDMARKS = 1000
RANK_EPS = 1e-7  # normal scores stay within +-5.2


def exact_sum(values: np.ndarray) -> Fraction:
    """The sum of finite floats without rounding, hence the same in any order."""
    if not len(values):
        return Fraction(0)
    largest = float(np.abs(values).max())
    if largest * len(values) < 2**53 and bool((values == np.rint(values)).all()):
        return Fraction(int(values.sum()))  # whole numbers whose every partial sum is exact
    mantissas, exponents = np.frexp(values)
    whole = np.ldexp(mantissas, 53).astype(np.int64)
    lowest = int(exponents.min())
    bins = exponents - lowest
    # |high| <= 2^26: exact up to 2^27 rows
    high = np.bincount(bins, weights=(whole >> 27).astype(np.float64))
    low = np.bincount(bins, weights=(whole & (2**27 - 1)).astype(np.float64))
    total = sum(
        (int(h) * 2**27 + int(x)) << i for i, (h, x) in enumerate(zip(high, low, strict=True))
    )
    return Fraction(total) * Fraction(2) ** (lowest - 53)


class Moments(Sum):
    """Mean and (population) standard deviation of the values that are there."""

    summed = ("count", "_sum", "_squares")

    def __init__(self) -> None:
        self.count = 0
        self._sum = self._squares = Fraction(0)

    def add(self, values: np.ndarray) -> None:
        """Add the values of one batch; NaN is missing."""
        present = values[~np.isnan(values)]
        self.count += len(present)
        self._sum += exact_sum(present)
        self._squares += exact_sum(present * present)

    @classmethod
    def merged(cls, parts: Iterable["Moments"]) -> "Moments":
        """The moments of the values of several parts together."""
        total = cls()
        for part in parts:
            total.merge(part)
        return total

    def result(self) -> tuple[float, float]:
        """Mean and standard deviation; 0 and 1 without values, and 1 for a constant."""
        mean, variance = self._mean_and_variance()
        return float(mean), 1.0 if self.is_constant else float(variance) ** 0.5

    @property
    def is_constant(self) -> bool:
        """Whether the values, if there are any, are all the same: their variance is rounding
        only.
        """
        mean, variance = self._mean_and_variance()
        return variance <= mean * mean / 10**15

    def _mean_and_variance(self) -> tuple[Fraction, Fraction]:
        mean = self._sum / max(self.count, 1)
        return mean, self._squares / max(self.count, 1) - mean * mean


class Ranks(Sum):
    """Values at evenly spaced ranks, from the rows with the smallest draws: the same sample for any
    order of the rows.
    """

    summed = ("_values", "_draws")

    def __init__(self) -> None:
        self._values, self._draws = np.zeros(0), np.zeros(0, np.uint64)

    def add(self, values: np.ndarray, draws: np.ndarray) -> None:
        """Add the values of one batch, with its rows' draws; NaN is missing."""
        there = ~np.isnan(values)
        self._values = np.append(self._values, values[there])
        self._draws = np.append(self._draws, draws[there])
        if len(self._values) > 2 * SAMPLE_ROWS:
            self._cut()

    def state_dict(self) -> dict[str, Any]:
        """As of any sum, cut to the sample."""
        self._cut()
        return super().state_dict()

    def merge(self, later: Self) -> None:
        """Add the sample of later rows."""
        self.add(later._values, later._draws)

    def _cut(self) -> None:
        smallest = np.lexsort((self._values, self._draws))[:SAMPLE_ROWS]
        self._values, self._draws = self._values[smallest], self._draws[smallest]

    def values(self) -> np.ndarray:
        """The sample."""
        self._cut()
        return self._values

    def result(self) -> tuple[float, ...]:
        """At most `LANDMARKS` values, rising; (0.0,) without any."""
        values = self.values()
        if not len(values):
            return (0.0,)
        # some 30 rows between two, as in Gorishniy et al. 2022
        count = max(min(len(values) // 30, LANDMARKS), 2)
        return tuple(np.quantile(values, np.linspace(0, 1, count)).tolist())


def normal_scores(values: np.ndarray, quantiles: tuple[float, ...]) -> np.ndarray:
    """Values -> their rank among the training rows -> the standard normal's value at that rank; NaN
    stays.

    The rank of a value that fills several ranks is their middle, as in scikit-learn's
    QuantileTransformer.
    """
    marks = np.array(quantiles)
    ranks = np.linspace(0, 1, len(marks))
    from_left = np.interp(values, marks, ranks)
    from_right = -np.interp(-values, -marks[::-1], -ranks[::-1])
    return np.asarray(ndtri(np.clip((from_left + from_right) / 2, RANK_EPS, 1 - RANK_EPS)))


class SeenWords(Sum):
    """The form of a column's words in the training split, which are counted later."""

    summed = ("_finder",)

    def __init__(self) -> None:
        self._finder = FormFinder()

    def add(self, words: pa.Array, counts: np.ndarray) -> None:
        """Add the distinct words of one batch."""
        self._finder.see(words.filter(pa.array(counts > 0)))

    @property
    def form(self) -> Form:
        """What they have in common."""
        return self._finder.form


class Vocabulary:
    """Counts of a column's words in the training split."""

    def __init__(self) -> None:
        self._pending: list[pa.Table] = []
        self._pending_rows = self._compact_rows = 0

    def add(self, words: pa.Array, counts: np.ndarray) -> None:
        """Add the distinct words of one batch."""
        seen = counts > 0
        self._pending.append(
            pa.table({"word": words.filter(pa.array(seen)), "count": counts[seen]})
        )
        self._pending_rows += int(seen.sum())
        if self._pending_rows > COMPACT_ROWS + 2 * self._compact_rows:
            self._compact()

    def _compact(self) -> pa.Table:
        if len(self._pending) > 1 or self._pending_rows > self._compact_rows:
            table = summed_counts(self._pending)
            self._pending = [table]
            self._pending_rows = table.num_rows
            self._compact_rows = table.num_rows
        return self._pending[0]

    def words(self) -> pa.Array:
        """Every word that was seen, once.

        Raises:
            EnvironmentFault: they are more than one array of Arrow's holds.
        """
        words = self._compact()["word"]
        if words.nbytes > MOST_BYTES:
            raise EnvironmentFault(
                "vocabulary",
                "must be at most 2 GiB of distinct words a column where one process counts them",
                f"{words.nbytes / 2**30:.2f} GiB",
                "prepare in parts: automtl data prepare DATASET --parts 64",
            )
        return words.combine_chunks()

    @property
    def form(self) -> Form:
        """What they have in common."""
        finder = FormFinder()
        finder.see(self.words())
        return finder.form

    def result(self, form: Form, min_count: int, known: pa.Array | None = None) -> pa.Table:
        """Words seen often enough, the most frequent first, equal ones by text: word i has id i +
        1.

        Args:
            form: of the words; spellings of one word are counted together.
            min_count: how often is often enough.
            known: words of an older vocabulary, which stay first and in their order whether they
                are seen or not.
        """
        words = self.words()
        table, formed = self._compact(), form.apply(words)
        if formed is not words:
            table = summed_counts([pa.table({"word": formed, "count": table["count"]})])
        frequent = table.filter(
            pc.and_(pc.greater_equal(table["count"], min_count), pc.not_equal(table["word"], ""))
        )
        if known is None:
            return frequent.sort_by(
                [("count", "descending"), ("word", "ascending")]
            ).combine_chunks()
        fresh = frequent.filter(pc.invert(pc.is_in(frequent["word"], value_set=known))).sort_by(
            [("count", "descending"), ("word", "ascending")]
        )
        counts = pc.fill_null(
            pc.take(table["count"], pc.index_in(known, value_set=table["word"])), 0
        )
        return pa.concat_tables(
            [pa.table({"word": known, "count": counts}), fresh]
        ).combine_chunks()


def summed_counts(tables: Sequence[pa.Table]) -> pa.Table:
    """Each word once, with the sum of its counts."""
    grouped = pa.concat_tables(tables).group_by("word").aggregate([("count", "sum")])
    return grouped.select(["word", "count_sum"]).rename_columns(["word", "count"])
