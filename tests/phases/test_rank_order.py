"""Kendall's tau of few things: p against SciPy's, interval against all permutations, coverage by
simulation.
"""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from automtl.phases.finished import rank_order
from automtl.phases.finished.rank_order import agreement


def test_tau_by_counting_pairs_and_p_by_scipy():
    rng = np.random.default_rng(3)
    for n in (2, 3, 4, 7, 12, 30):
        a = rng.normal(size=n)
        b = a + rng.normal(size=n)
        agree = sum(np.sign((a[i] - a[j]) * (b[i] - b[j])) for i in range(n) for j in range(i))
        found = agreement(list(a), list(b))
        assert found.tau == pytest.approx(agree / (n * (n - 1) / 2))
        assert found.p == pytest.approx(stats.kendalltau(a, b, method="exact").pvalue)
        assert found.interval[0] <= found.tau <= found.interval[1]


def test_a_perfect_order_of_four_is_not_sure():
    found = agreement([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0])
    assert found.tau == 1 and found.p == pytest.approx(2 / 24)
    assert found.interval[0] < 0 and found.interval[1] == 1, (
        "it leaves 0 in, as the exact test does"
    )
    turned = agreement([1.0, 2.0, 3.0, 4.0], [8.0, 7.0, 6.0, 5.0])
    assert turned.interval == pytest.approx((-1, -found.interval[0]))


TURNED = [
    sum(p[i] > p[j] for i in range(6) for j in range(i + 1, 6))
    for p in itertools.permutations(range(6))
]


def by_all_permutations(theta):
    """Of Mallows' model: the share of each d, and the mean of tau, by going through all orders."""
    weights = np.exp(-theta * np.array(TURNED))
    shares = np.bincount(TURNED, weights) / weights.sum()
    return shares, 1 - 2 * float(shares @ np.arange(16)) / 15


@pytest.mark.parametrize(
    "order", [(0, 1, 2, 3, 4, 5), (1, 0, 2, 3, 5, 4), (5, 3, 4, 1, 2, 0), (2, 5, 0, 3, 1, 4)]
)
def test_the_interval_is_what_the_data_do_not_reject_by_all_permutations(order):
    d = sum(order[i] > order[j] for i in range(6) for j in range(i + 1, 6))
    kept = []
    for theta in np.linspace(-6, 6, 2401):
        shares, mean = by_all_permutations(theta)
        if shares[: d + 1].sum() >= 0.025 and shares[d:].sum() >= 0.025:
            kept.append(mean)
    low, high = agreement(list(range(6)), list(order)).interval
    assert (low, high) == pytest.approx(
        (-1.0 if d == 15 else min(kept), 1.0 if d == 0 else max(kept)), abs=0.01
    )


@pytest.mark.parametrize("n", [4, 8, 16, 32])
def test_the_interval_holds_the_truth_of_normal_figures_too(n):
    """Mallows' model is no more than a model: scores of supernets are rather normal."""
    rng, tries, known = np.random.default_rng(n), 400, {}
    for tau in (0.0, 0.3, 0.7, 0.9):
        r, held = math.sin(math.pi * tau / 2), 0
        for _ in range(tries):
            x = rng.normal(size=n)
            y = r * x + math.sqrt(1 - r * r) * rng.normal(size=n)
            seen = round(stats.kendalltau(x, y).statistic, 6)
            # without ties it goes by tau alone
            low, high = known.setdefault(seen, None) or agreement(list(x), list(y)).interval
            known[seen] = low, high
            held += low <= tau <= high
        assert held / tries > 0.925, (tau, held)  # two standard errors below .95


def test_ties_widen_and_repeats_tell_nothing():
    a, b = [1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 2.0, 3.0, 5.0, 4.0]
    assert agreement([*a, *a], [*b, *b]).interval == pytest.approx(
        agreement(a, b).interval, abs=0.15
    )
    tied = agreement([1.0, 1.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0])
    assert tied.interval[0] < tied.tau < tied.interval[1] <= 1 and tied.p > 2 / 24
    assert agreement([1.0, 1.0], [1.0, 2.0]) is None


def test_of_many_the_normal_is_near_the_exact(monkeypatch):
    rng = np.random.default_rng(1)
    for noise in (0.0, 0.5, 5.0):
        a = rng.normal(size=90)
        b = a + noise * rng.normal(size=90)
        exact = agreement(list(a), list(b))
        monkeypatch.setattr(rank_order, "MOST_EXACT", 10)
        near = agreement(list(a), list(b))
        monkeypatch.undo()
        assert near.interval == pytest.approx(
            exact.interval, abs=0.005
        ) and near.p == pytest.approx(exact.p, abs=0.005)
        assert near.interval[0] < near.interval[1]
    assert agreement(list(a) + list(a + 100), list(b) + list(b + 100)).interval[0] > 0.4
