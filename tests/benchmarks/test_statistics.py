"""Variance components, attainable tau and spread against hand computation, simulation and slower
ways.
"""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from automtl.benchmarks import _statistics
from automtl.benchmarks._statistics import (
    attainable_interval,
    attainable_tau,
    best_predictions,
    components,
    icc_interval,
    seed_tau,
    spread,
)
from automtl.errors import DataError


def simulated(rng, *, architecture=2.0, seed=1.0, common=0.0, k=60, twice=0.5):
    """Losses, architectures and seeds of a random effects model; a share of the architectures has
    two seeds.
    """
    effects, shifts = rng.normal(0, architecture, k), (0.0, common)
    made = [
        (10 + effects[i] + shifts[s] + rng.normal(0, seed), i, s)
        for i in range(k)
        for s in range(1 + (i < k * twice))
    ]
    return [list(column) for column in zip(*made, strict=True)]


def test_one_way_by_hand_with_unequal_groups():
    losses, groups = [1.0, 3.0, 5.0, 4.0, 6.0, 8.0], list("aabccc")
    # means 2, 5, 6 of 2, 1, 3; grand mean 27/6
    grand = Fraction(27, 6)
    between = 2 * (2 - grand) ** 2 + (5 - grand) ** 2 + 3 * (6 - grand) ** 2
    within = Fraction(2 + 0 + 8)
    seed = within / (6 - 3)
    architecture = (between - 2 * seed) / (6 - Fraction(4 + 1 + 9, 6))
    found = components(losses, groups)
    assert found.seed == pytest.approx(float(seed)) and found.architecture == pytest.approx(
        float(architecture)
    )
    assert found.icc == pytest.approx(
        float(architecture / (architecture + seed))
    ) and found.mean == pytest.approx(4.5)
    assert found.delta == pytest.approx(1.5 * math.sqrt(10 / 3))


def test_balanced_one_way_is_the_textbooks():
    y = np.random.default_rng(0).normal(size=(7, 4))
    within, between = y.var(axis=1, ddof=1).mean(), 4 * y.mean(axis=1).var(ddof=1)
    found = components(y.ravel(), np.repeat(np.arange(7), 4).tolist())
    assert found.seed == pytest.approx(within) and found.architecture == pytest.approx(
        max(0.0, (between - within) / 4)
    )


def test_a_variance_below_nothing_is_nothing():
    found = components([1.0, 3.0, 3.0, 1.0], list("aabb"))
    assert found.architecture == 0 and found.icc == 0 and found.seed == pytest.approx(2.0)
    assert components([1.0, 1.0, 1.0, 1.0], list("aabb")).icc == 0


def test_two_way_with_one_seed_number_is_one_way():
    losses, groups, _ = simulated(np.random.default_rng(1))
    one, two = components(losses, groups), components(losses, groups, [0] * len(losses))
    assert two.architecture == pytest.approx(one.architecture) and two.seed == pytest.approx(
        one.seed
    )


def test_two_way_leaves_out_what_a_seed_number_does_to_all():
    losses, groups, seeds = simulated(np.random.default_rng(2))
    shifted = [loss + 7.0 * (s == 1) for loss, s in zip(losses, seeds, strict=True)]
    one, other = components(losses, groups, seeds), components(shifted, groups, seeds)
    assert other.architecture == pytest.approx(one.architecture) and other.seed == pytest.approx(
        one.seed
    )
    assert components(shifted, groups).seed > 10 * one.seed, (
        "one-way takes it for a difference between trainings"
    )


@pytest.mark.parametrize("two_way", [False, True])
def test_components_are_unbiased_over_simulations(two_way):
    rng, found = np.random.default_rng(3), []
    for _ in range(400):
        losses, groups, seeds = simulated(rng, common=3.0 if two_way else 0.0, k=40)
        c = components(losses, groups, seeds if two_way else None)
        found.append((c.architecture, c.seed))
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / math.sqrt(len(found))
    assert np.all(np.abs(mean - [4.0, 1.0]) < 4 * error)


@pytest.mark.parametrize(
    ("losses", "groups", "words"),
    [
        ([1.0, 2.0], ["a", "b"], "some trained with several seeds"),
        ([1.0, 2.0], ["a", "a"], "two architectures or more"),
        ([1.0, float("nan"), 2.0], ["a", "a", "b"], "must have finite losses"),
        ([], [], "two architectures or more"),
    ],
)
def test_what_says_nothing_is_refused(losses, groups, words):
    with pytest.raises(DataError, match=words):
        components(losses, groups)


def test_two_way_without_anything_left_over_is_refused():
    with pytest.raises(DataError, match="than architectures and seeds explain"):
        components([1.0, 2.0, 3.0], ["a", "a", "b"], [0, 1, 0])


def test_best_predictions_are_the_conditional_means():
    losses, groups, _ = simulated(np.random.default_rng(4), k=9)
    c, member = components(losses, groups), np.eye(9)[groups]
    means = [np.mean([y for y, g in zip(losses, groups, strict=True) if g == i]) for i in range(9)]
    centre = np.mean(means)
    covariance = c.architecture * member @ member.T + c.seed * np.eye(len(losses))
    oracle = centre + c.architecture * member.T @ np.linalg.solve(
        covariance, np.array(losses) - centre
    )
    found = best_predictions(losses, groups)
    np.testing.assert_allclose([found[i] for i in range(9)], oracle)


def test_luck_with_one_seed_is_drawn_to_the_mean():
    losses, groups = (
        [1.0, 1.1, 0.98, 2.0, 2.1, 3.0, 3.05, 1.9, 2.1],
        ["a", "a", "b", "c", "c", "d", "d", "e", "e"],
    )
    found = best_predictions(losses, groups)
    assert (
        np.mean([1.0, 1.1]) > 0.98
        and found["b"] > 0.98
        and abs(found["b"] - 0.98) > abs(found["a"] - 1.05)
    )


def test_icc_interval_is_the_slow_bootstraps(monkeypatch):
    monkeypatch.setattr(_statistics, "RESAMPLES", 40)
    losses, groups, _ = simulated(np.random.default_rng(5), k=12)
    picks = np.random.default_rng(0).integers(0, 12, (40, 12))
    rows = [np.flatnonzero(np.array(groups) == g) for g in range(12)]
    slow = []
    for drawn in picks:
        index = np.concatenate([rows[g] for g in drawn])
        again = np.repeat(np.arange(12), [len(rows[g]) for g in drawn])
        slow.append(components(np.array(losses)[index], again.tolist()).icc)
    assert icc_interval(losses, groups) == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])))


def test_icc_intervals_cover_the_truth():
    rng, hits = np.random.default_rng(6), 0
    for number in range(60):
        losses, groups, _ = simulated(rng, architecture=1.0, seed=1.0, k=48, twice=1.0)
        low, high = icc_interval(losses, groups, seed=number)
        hits += low <= 0.5 <= high
    assert hits >= 50


def test_attainable_tau_is_what_the_truth_reaches_with_a_mean_of_two():
    rng = np.random.default_rng(7)
    truth = rng.normal(size=20_000)
    one, other = (truth + rng.normal(0, 0.8, truth.shape) for _ in range(2))
    reached = float(stats.kendalltau(truth, one + other).statistic)
    assert attainable_tau(seed_tau(one, other)) == pytest.approx(reached, abs=0.01)


def test_attainable_tau_at_its_ends():
    assert (
        attainable_tau(1.0) == pytest.approx(1.0)
        and attainable_tau(0.0) == 0.0
        and attainable_tau(-0.4) == 0.0
    )
    taus = [attainable_tau(t) for t in np.linspace(0, 1, 20)]
    assert all(a < b for a, b in itertools.pairwise(taus))


def test_attainable_interval_is_the_slow_bootstraps(monkeypatch):
    monkeypatch.setattr(_statistics, "RESAMPLES", 60)
    rng = np.random.default_rng(8)
    one = np.round(rng.normal(size=15), 1)  # with ties
    other = np.round(one + rng.normal(size=15), 1)
    picks = np.random.default_rng(0).integers(0, 15, (60, 15))
    slow = [attainable_tau(float(stats.kendalltau(one[p], other[p]).statistic)) for p in picks]
    assert attainable_interval(one, other) == pytest.approx(
        tuple(np.quantile(slow, [0.025, 0.975]))
    )


def test_a_constant_seed_has_no_order():
    with pytest.raises(DataError, match="must have losses that differ for both seeds"):
        seed_tau([1.0, 1.0], [1.0, 2.0])


def test_spread_by_hand():
    losses, groups = [1.0, 1.2, 2.0, 2.2, 3.0, 3.2, 2.9], ["a", "a", "b", "b", "c", "c", "d"]
    strata = ["x", "x", "x", "x", "y", "y", "y"]
    found, c = spread(losses, groups, strata), components(losses, groups)
    assert found.strata == pytest.approx(((3.1 + 2.9) / 2) / ((1.1 + 2.1) / 2) - 1)
    assert found.architecture == pytest.approx(math.sqrt(c.architecture) / np.mean(losses))
    assert found.seed == pytest.approx(math.sqrt(c.seed) / np.mean(losses))
