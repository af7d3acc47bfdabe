"""Exact area under the ROC curve, ties and weights counted: two sorts and a merge, no ranking of
all rows.

AUC is the chance that a positive scores above a negative, half where they tie. Every row of the
larger class is ranked among the sorted rows of the smaller one; without weights the count is in
whole numbers.
Legend: n rows; few, many: the scores of the class with fewer rows, and of the other one.
"""

import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from automtl.errors import DataError, NumericalError

Array = NDArray[Any]
In = TypeVar("In")
Out = TypeVar("Out")

CHUNK = 2**17  # rows whose temporaries stay in cache
PART = 2**20  # sorted rows looked up at a time
# per row of the smaller class: about a tenth of the larger class shares a bucket with it
BUCKETS = 16
MOST_BUCKETS = 2**22  # 16 MB


def auc(
    labels: ArrayLike,
    scores: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    chunk: int = CHUNK,
    threads: int = 1,
) -> float | None:
    """Exact AUC; None where it is undefined, that is where a class has no row or no weight.

    Temporary memory: a copy of the scores at most, three bytes a row, and some 50 MB; with weights,
    the smaller class (24 bytes a row) and some chunks.

    Shape: labels, scores, weights (n,).

    Args:
        labels: 0 or 1.
        scores: any monotone function of the probability; logits keep apart what a sigmoid rounds to
            1.
        weights: of the rows, at least 0; None: 1 each.
        chunk: rows taken at a time.
        threads: numpy's sort and search run in so many at once; the result does not depend on it.

    Raises:
        DataError: a label that is neither 0 nor 1, a weight below 0 or not finite, or unequal
            lengths.
        NumericalError: a score is NaN.
    """
    positive, values, shares = checked("auc", labels, scores, weights)
    count, n = int(np.count_nonzero(positive)), len(positive)
    if not 0 < count < n:
        return None
    few_positive = 2 * count <= n
    rare = positive if few_positive else ~positive
    above: float
    pairs: float
    if shares is None:
        # whole numbers: nothing is lost
        above, pairs = _count_above(values, rare, chunk, threads), 2 * count * (n - count)
    else:
        above, pairs = _weigh_above(values, rare, shares, chunk)
    if not pairs:
        return None
    return (pairs - above) / pairs if few_positive else above / pairs


def checked(
    where: str, labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None
) -> tuple[Array, Array, Array | None]:
    """Labels as booleans, scores as float32 or float64, weights as given; raises as `auc` does.
    Shape: (n,) each.
    """
    marks, values = np.asarray(labels), np.asarray(scores)
    shares = None if weights is None else np.asarray(weights)
    shapes = [array.shape for array in (marks, values, shares) if array is not None]
    if marks.ndim != 1 or len(set(shapes)) != 1:
        raise DataError(
            where, "labels, scores and weights must be of one length", ", ".join(map(str, shapes))
        )
    positive = marks == 1
    if len(other := marks[~(positive | (marks == 0))]):
        raise DataError(
            where,
            "labels must be 0 or 1",
            str(other[0])[:80],
            "leave out the rows without a label",
        )
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float64)
    if np.isnan(values).any():
        raise NumericalError(where, "scores must be numbers", f"{int(np.isnan(values).sum())} NaN")
    if shares is not None:
        check_weights(where, shares)
    return positive, values, shares


def check_weights(where: str, weights: Array) -> None:
    """Refuse, with DataError, a weight below 0 or not finite. Shape: (n,)."""
    bad = int(np.count_nonzero(~(np.isfinite(weights) & (weights >= 0))))
    if bad:
        raise DataError(where, "weights must be finite and at least 0", f"{bad} that are not")


def _count_above(scores: Array, rare: Array, chunk: int, threads: int) -> int:
    """Twice the pairs (few, many) in which many is above, ties once."""
    few, common = np.compress(rare, scores), ~rare
    much = scores.size - few.size >= max(chunk, 8 * few.size)  # else most buckets would be taken
    table = Buckets.over(few) if much else None
    settled, rest = (
        table.settle_all(scores, common, chunk, threads)
        if table
        else (0, np.compress(common, scores))
    )
    _in_threads(np.ndarray.sort, [few, rest], threads)
    return settled + _count_sorted(few, rest, threads)


def _count_sorted(few: Array, many: Array, threads: int) -> int:
    """As `_count_above`, both sorted: the shorter one is looked up in the longer."""
    swap = many.size > few.size
    wanted, base = (few, many) if swap else (many, few)

    def look_up(start: int) -> int:
        below, upto = ranks(base, wanted[start : start + PART])
        return int(below.sum()) + int(upto.sum())

    below = sum(_in_threads(look_up, range(0, wanted.size, PART), threads))
    return 2 * few.size * many.size - below if swap else below


def ranks(base: Array, wanted: Array) -> tuple[Array, Array]:
    """How many of sorted `base` are below each of sorted `wanted`, and how many not above. Shape:
    that of wanted.
    """
    below = np.searchsorted(base, wanted)
    tied = base[np.minimum(below, base.size - 1)] == wanted
    upto = below.copy()
    if tied.any():
        upto[tied] = np.searchsorted(base, wanted[tied], side="right")
    return below, upto


def _weigh_above(scores: Array, rare: Array, weights: Array, chunk: int) -> tuple[float, float]:
    """Twice the weight of pairs (few, many) with many above, ties once; twice the weight of all
    pairs.
    """
    few = np.compress(rare, scores)
    order = np.argsort(few)
    few = few[order]
    # weight of the first i
    upto = np.concatenate([[0.0], np.cumsum(np.compress(rare, weights)[order], dtype=np.float64)])
    above, total = [], []
    for start in range(0, scores.size, chunk):
        part = slice(start, start + chunk)
        many = np.compress(~rare[part], scores[part])
        weight = np.compress(~rare[part], weights[part]).astype(np.float64)
        order = np.argsort(many)  # sorted queries walk through memory in order
        first, last = ranks(few, many[order])
        above.append(float((weight[order] * (upto[first] + upto[last])).sum()))
        total.append(float(weight.sum()))
    return math.fsum(above), 2 * float(upto[-1]) * math.fsum(total)


def _in_threads(function: Callable[[In], Out], items: Iterable[In], threads: int) -> list[Out]:
    """Results in the order of the items; numpy lets go of the interpreter in sort, search and
    take.
    """
    if threads == 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, items))


class Buckets:
    """A table that ranks most rows without a search.

    Scores go to buckets of equal width by a function that never falls (each of its roundings never
    does), so rows in different buckets compare as their buckets do. Only rows that share a bucket
    with one of `few` remain to be ranked.

    Args:
        few: in any order, without NaN.
        low: scores up to here go to the first bucket.
        scale: buckets per unit of score, positive and finite.
        number: of buckets.
    """

    def __init__(self, few: Array, low: Any, scale: Any, number: int) -> None:
        self._low, self._scale, self._number = low, scale, number
        taken = self._bucket(few)
        counts = np.bincount(taken, minlength=number + 2)
        self._below = np.cumsum(counts, out=counts).astype(np.int32)  # rows of few in lower buckets
        self._below[taken] = -1  # ... or: ask them

    @classmethod
    def over(cls, few: Array) -> "Buckets | None":
        """A table over the bulk of `few`; None where its width is 0 or not finite."""
        edge = few.size // 1000  # a few far outliers would leave the bulk in few buckets
        places = [edge, few.size - 1 - edge]
        low, high = np.partition(few, places)[places]
        number = min(BUCKETS * few.size, MOST_BUCKETS)
        with np.errstate(all="ignore"):
            scale = few.dtype.type(number) / (high - low)
        return cls(few, low, scale, number) if 0 < scale < np.inf else None

    def _bucket(self, scores: Array) -> Array:
        with np.errstate(over="ignore"):
            place = scores - self._low
            place *= self._scale
        np.clip(place, -1, self._number, out=place)
        place += 1
        buckets: Array = place.astype(np.int32)  # rounds towards 0, and nothing here is below 0
        return buckets

    def settle_all(
        self, scores: Array, common: Array, chunk: int, threads: int
    ) -> tuple[int, Array]:
        """As `settle`, for the scores marked in `common`, a chunk at a time."""

        def take(start: int) -> tuple[int, Array]:
            part = slice(start, start + chunk)
            return self.settle(np.compress(common[part], scores[part]))

        counts, rest = zip(*_in_threads(take, range(0, scores.size, chunk), threads), strict=True)
        return sum(counts), np.concatenate(rest)

    def settle(self, many: Array) -> tuple[int, Array]:
        """Twice the rows of few below those of `many` that the table ranks, and the rows that it
        does not.
        """
        below = self._below.take(self._bucket(many))
        rest = many[below < 0]
        return 2 * (int(below.sum(dtype=np.int64)) + rest.size), rest
