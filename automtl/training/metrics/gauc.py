"""Grouped AUC: one AUC per group (a user, a query), averaged; no Python loop over groups.

Legend: n rows, G groups. A row is one 64-bit key (group, score, label), so one sort of whole
numbers brings each group's rows together in the order of their scores; all else is sums between
boundaries.
"""

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from automtl.errors import DataError
from automtl.training.metrics.auc import CHUNK, Array, checked

GROUP = np.uint64(33)  # a key's bits: 31 of the group, 32 of the score, 1 of the label
# neighbouring keys differ from these bits upwards
NEXT_GROUP, NEXT_SCORE = np.uint64(1 << 33), np.uint64(2)


def gauc(
    labels: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    chunk: int = CHUNK,
) -> float | None:
    """Mean of the groups' AUCs, each weighted by its rows (with `weights`: by their sum); None
    where no group has one.

    A group without a positive or without a negative is left out (Zhu et al. 2017, section 6.2,
    whose weights are impressions).

    Shape: labels, scores, groups, weights (n,).

    Args:
        labels: 0 or 1.
        scores: any monotone function of the probability.
        groups: anything that numpy can sort.
        weights: of the rows, at least 0; None: 1 each.
        chunk: rows summed at a time, at least; a group is never cut.

    Raises:
        DataError: as `auc`.
        NumericalError: a score is NaN.
    """
    positive, values, shares = checked("gauc", labels, scores, weights)
    names = np.asarray(groups)
    if names.shape != positive.shape:
        raise DataError("gauc", "groups must be one per row", f"{names.size} for {positive.size}")
    keys = _codes(names) << GROUP | _ranked(values) << np.uint64(1) | positive
    if shares is None:
        keys.sort()
    else:
        order = np.argsort(keys)
        keys, shares = keys[order], shares[order].astype(np.float64)
    sums = [
        _sum_groups(keys[part], None if shares is None else shares[part])
        for part in _parts(keys, chunk)
    ]
    total = math.fsum(weight for _, weight in sums)
    return math.fsum(value for value, _ in sums) / total if total else None


def _codes(names: Array) -> Array:
    """Groups as uint64 that differ in their lowest 31 bits, all that the shift leaves of them.
    Shape: (n,).
    """
    if names.size and names.dtype.kind in "iu" and int(names.max()) - int(names.min()) < 1 << 31:
        return names.astype(np.uint64)  # whatever they start at, below zero too
    return np.unique(names, return_inverse=True)[1].astype(np.uint64)


def _ranked(scores: Array) -> Array:
    """Scores as uint64 below 2**32 in the same order, equal ones equal. Shape: (n,)."""
    if scores.dtype == np.float64:
        return np.unique(scores, return_inverse=True)[1].astype(np.uint64)
    bits = (scores + np.float32(0)).view(np.uint32)  # + 0 makes -0 a 0
    falls = bits >> np.uint32(31) == 1  # below zero a float's bits rise as it falls
    return np.where(falls, ~bits, bits | np.uint32(1 << 31)).astype(np.uint64)


def _parts(keys: Array, chunk: int) -> Iterator[slice]:
    """Runs of whole groups, of `chunk` rows or the first boundary after."""
    starts = np.flatnonzero((keys[1:] ^ keys[:-1]) >= NEXT_GROUP) + 1
    after = np.searchsorted(starts, np.arange(chunk, keys.size, chunk))
    cuts = [0, *np.unique(starts[after[after < starts.size]]).tolist(), keys.size]
    yield from (slice(start, stop) for start, stop in pairwise(cuts) if stop > start)


def _sum_groups(keys: Array, weights: Array | None) -> tuple[float, float]:
    """Sum over whole groups of AUC times weight, and of the weights, where both classes are
    there.
    """
    label = (keys & np.uint64(1)).astype(np.float64)
    weight = np.ones(keys.size) if weights is None else weights
    ties = _starts(keys, NEXT_SCORE)
    # per run of ties
    positive = np.add.reduceat(weight * label, ties)
    negative = np.add.reduceat(weight * (1 - label), ties)
    groups = _starts(keys[ties], NEXT_GROUP)
    below = np.cumsum(negative) - negative
    # negatives of the same group only
    below -= np.repeat(below[groups], np.diff(groups, append=ties.size))
    won = np.add.reduceat(positive * (below + negative / 2), groups)  # (G,)
    sums = np.add.reduceat(positive, groups), np.add.reduceat(negative, groups)
    pairs, rows = sums[0] * sums[1], sums[0] + sums[1]
    both = pairs > 0
    return float((won[both] / pairs[both] * rows[both]).sum()), float(rows[both].sum())


def _starts(keys: Array, bits: np.uint64) -> Array:
    """Places where a key differs from the one before in `bits` or above, the first place
    included.
    """
    return np.concatenate([[0], np.flatnonzero((keys[1:] ^ keys[:-1]) >= bits) + 1])
