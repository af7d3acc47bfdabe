"""Whether parts of the rows differ by more than chance: chi-square tests of counts and of ranks,
several of them by Holm's rule.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import chdtrc

from automtl.statistics import holm

ALARM = 0.001
# rows that chance puts into a cell, below which the chi-square distribution is too far off (Cochran
# 1954)
LEAST_EXPECTED = 5


def chi_square(counts: np.ndarray) -> float | None:
    """The p-value of Pearson's test that classes are shared alike by all parts; None where there is
    too little to tell.

    Parts without rows are left out. Classes too rare for the smallest part are counted as one, and
    left out if that is too rare too.

    Shape: (parts, classes).
    """
    table = counts[counts.sum(axis=1) > 0].astype(np.float64)
    if len(table) < 2:
        return None
    smallest = table.sum(axis=1).min() / table.sum()
    rare = table.sum(axis=0) * smallest < LEAST_EXPECTED
    table = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
    table = table[:, table.sum(axis=0) * smallest >= LEAST_EXPECTED]
    if table.shape[1] < 2 or not table.sum(axis=1).all():
        return None
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return float(
        chdtrc(
            (table.shape[0] - 1) * (table.shape[1] - 1), ((table - expected) ** 2 / expected).sum()
        )
    )


def rank_test(groups: Sequence[np.ndarray]) -> float | None:
    """The p-value of Kruskal and Wallis' test (1952), ties counted, that all groups' values are
    alike; None for too few values.
    """
    groups = [group for group in groups if len(group)]
    if len(groups) < 2 or min(map(len, groups)) < LEAST_EXPECTED:
        return None
    _, inverse, counts = np.unique(np.concatenate(groups), return_inverse=True, return_counts=True)
    if len(counts) < 2:
        return None
    # from 0, equal values share the middle of theirs
    ranks = (np.cumsum(counts) - (counts + 1) / 2)[inverse]
    ranks = ranks - ranks.mean()
    means = [
        part.mean() for part in np.split(ranks, np.cumsum([len(group) for group in groups])[:-1])
    ]
    spread = sum(len(group) * mean**2 for group, mean in zip(groups, means, strict=True))
    return float(chdtrc(len(groups) - 1, (len(ranks) - 1) * spread / (ranks**2).sum()))


def unlikely(p_values: Mapping[str, float | None], level: float = ALARM) -> tuple[str, ...]:
    """Which of several tests speak against chance, all of them together wrong at most once in 1 /
    level (Holm 1979).
    """
    known = {
        name: p for p, name in sorted((p, name) for name, p in p_values.items() if p is not None)
    }
    return tuple(
        name for name, p in zip(known, holm(list(known.values())), strict=True) if p <= level
    )
