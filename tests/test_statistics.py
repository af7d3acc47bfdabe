"""Differences of means against scipy, by hand and by simulation; families, margins, power."""

import itertools
import math
from statistics import fmean, stdev

import numpy as np
import pytest
from scipy import stats

from automtl.errors import ConfigError
from automtl.statistics import (
    Difference,
    equivalent,
    half_width,
    holm,
    noninferior,
    pooled_deviation,
    power,
    seeds_needed,
    upper_limit,
    welch,
)

ONE, OTHER = (0.71, 0.74, 0.735, 0.72), (0.70, 0.69, 0.72)


def by_hand(difference: float, error: float, freedom: float) -> Difference:
    half = stats.t.ppf(0.975, freedom) * error
    p = 2 * stats.t.sf(abs(difference) / error, freedom)
    return Difference(difference, difference - half, difference + half, p, freedom, error)


def fields(found: Difference | None) -> list[float]:
    assert found is not None
    return [found.difference, found.low, found.high, found.p, found.freedom, found.error]


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("sizes", [(2, 2), (2, 9), (10, 3), (40, 50)])
def test_welch_is_scipys(sizes: tuple[int, int], level: float) -> None:
    g = np.random.default_rng(sizes)
    a, b = g.normal(0, 1, sizes[0]).tolist(), g.normal(0.5, 3, sizes[1]).tolist()
    found, theirs = welch(a, b, level), stats.ttest_ind(a, b, equal_var=False)
    low, high = theirs.confidence_interval(level)
    error = (fmean(a) - fmean(b)) / theirs.statistic
    expected = [fmean(a) - fmean(b), low, high, theirs.pvalue, theirs.df, error]
    assert fields(found) == pytest.approx(expected, rel=1e-9)
    assert found is not None
    other = theirs.confidence_interval(0.8)
    assert found.limits(0.8) == pytest.approx((other.low, other.high), rel=1e-9)


def test_the_second_less_the_first_is_the_same_the_other_way_round() -> None:
    one, other = welch(ONE, OTHER), welch(OTHER, ONE)
    assert one is not None and other is not None
    assert (one.difference, one.low, one.high) == (-other.difference, -other.high, -other.low)
    assert (one.p, one.error, one.freedom) == pytest.approx((other.p, other.error, other.freedom))


def test_a_pooled_deviation_is_students_test() -> None:
    pooled = pooled_deviation([ONE, OTHER])
    assert pooled is not None and pooled[1] == 5
    theirs = stats.ttest_ind(ONE, OTHER)
    low, high = theirs.confidence_interval(0.95)
    found = welch(ONE, OTHER, pooled=pooled)
    assert found is not None and (found.low, found.high) == pytest.approx((low, high))
    assert (found.p, found.freedom) == pytest.approx((theirs.pvalue, 5))


def test_a_pooled_deviation_by_hand() -> None:
    # squares about the means: 2, 0 and 8 with 1, 2 and 2 degrees of freedom
    groups = [[1.0, 3.0], [5.0], [4.0, 6.0, 8.0], [2.0, 2.0, 2.0], []]
    assert pooled_deviation(groups) == pytest.approx((math.sqrt(2.0), 5.0))
    assert pooled_deviation([[1.0], []]) is None


def test_one_training_a_side_can_be_told_apart_by_a_pooled_deviation() -> None:
    assert welch([1.0], OTHER) is None and welch([], OTHER, pooled=(1.0, 3)) is None
    expected = by_hand(0.5, 0.1 * math.sqrt(2), 12)
    assert fields(welch([1.0], [0.5], pooled=(0.1, 12))) == pytest.approx(fields(expected))


def test_the_variance_of_rows_is_added_to_that_of_seeds() -> None:
    extra = 0.0004
    a, b = stdev(ONE) ** 2 / 4, stdev(OTHER) ** 2 / 3
    freedom = (a + b + extra) ** 2 / (a**2 / 3 + b**2 / 2)
    expected = by_hand(fmean(ONE) - fmean(OTHER), math.sqrt(a + b + extra), freedom)
    assert fields(welch(ONE, OTHER, extra_variance=extra)) == pytest.approx(fields(expected))
    # search.md 3.4: SE^2 = s^2 / n1 + s^2 / n2 + row variance, s pooled
    part = 0.02**2 * (1 / 4 + 1 / 3)
    freedom = (part + extra) ** 2 / (part**2 / 8)
    expected = by_hand(fmean(ONE) - fmean(OTHER), math.sqrt(part + extra), freedom)
    found = welch(ONE, OTHER, extra_variance=extra, pooled=(0.02, 8))
    assert fields(found) == pytest.approx(fields(expected))


def test_the_upper_limit_is_of_seeds_and_rows() -> None:
    part = stdev(ONE) ** 2 / 4
    freedom = (part + 0.01) ** 2 / (part**2 / 3)
    expected = fmean(ONE) + stats.t.ppf(0.95, freedom) * math.sqrt(part + 0.01)
    assert upper_limit(ONE, 0.01) == pytest.approx(expected)
    assert upper_limit([0.5], 0.01) == math.inf


def test_few_units_leave_no_more_freedom_than_they_have() -> None:
    found = welch(ONE, OTHER, extra_variance=1e-9, extra_freedom=1)
    assert found is not None and found.freedom == 1


def test_rows_alone_are_normal() -> None:
    found = welch([2.0, 2.0], [1.0, 1.0], extra_variance=0.25)
    assert found is not None and found.freedom == math.inf
    assert (found.low, found.high) == pytest.approx((1 - 1.959964 * 0.5, 1 + 1.959964 * 0.5))
    assert found.p == pytest.approx(2 * stats.norm.sf(2))


def test_without_spread_the_difference_is_sure() -> None:
    assert welch([0.1, 0.1, 0.1], [0.1, 0.1]) == Difference(0.0, 0.0, 0.0, 1.0, 3.0, 0.0)
    found = welch([0.5, 0.5], [0.25, 0.25])
    assert found == Difference(0.25, 0.25, 0.25, 0.0, 2.0, 0.0)


@pytest.mark.parametrize(
    "words",
    [
        {"level": 0.0},
        {"level": 1.0},
        {"extra_variance": -1e-9},
        {"extra_variance": math.nan},
        {"pooled": (0.1, 0)},
        {"pooled": (-0.1, 3)},
        {"pooled": (math.nan, 3)},
    ],
)
def test_what_cannot_be_meant_is_refused(words: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        welch(ONE, OTHER, **words)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="finite"):
        welch([1.0, math.nan], OTHER)
    for margin in (-0.1, math.nan, math.inf):
        with pytest.raises(ConfigError, match="margin"):
            noninferior(by_hand(0, 1, 5), margin)


@pytest.mark.parametrize("extra", [0.0, 1.0])
@pytest.mark.parametrize("shared", [False, True])
def test_intervals_cover_by_simulation(extra: float, shared: bool) -> None:
    """Means of 3 and 6 trainings of sd 1 and 2 (1 and 1 with a pooled one of 24 degrees), moved by
    rows of known variance.
    """
    g, tries = np.random.default_rng(7), 4000
    sd = (1.0, 1.0) if shared else (1.0, 2.0)
    held = 0
    for _ in range(tries):
        moved = g.normal(0, math.sqrt(extra))
        a, b = g.normal(moved, sd[0], 3), g.normal(0, sd[1], 6)
        pooled = (math.sqrt(g.chisquare(24) / 24), 24.0) if shared else None
        found = welch(a.tolist(), b.tolist(), extra_variance=extra, pooled=pooled)
        assert found is not None
        held += found.low <= 0 <= found.high
    assert held / tries == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / tries))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == [] and holm([0.2]) == [0.2]


@pytest.mark.parametrize("p_values", [[0.001, 0.2, 0.04], [0.02, 0.02, 0.02, 0.5], [0.3, 0.012]])
def test_holm_is_the_closed_test(p_values: list[float]) -> None:
    """A hypothesis falls where Bonferroni's test rejects every family that holds it."""
    n = len(p_values)
    families = [c for size in range(1, n + 1) for c in itertools.combinations(range(n), size)]
    expected = [
        max(min(1.0, len(f) * min(p_values[i] for i in f)) for f in families if j in f)
        for j in range(n)
    ]
    assert holm(p_values) == pytest.approx(expected)


def test_noninferiority_and_equivalence_are_the_one_sided_tests() -> None:
    a, b = (0.50, 0.52, 0.51, 0.53), (0.50, 0.51, 0.49, 0.52)
    found = welch(a, b)
    assert found is not None
    for margin in (0.005, 0.02, 0.025, 0.026, 0.03, 0.05):
        upper = stats.ttest_ind(np.array(a) - margin, b, equal_var=False, alternative="less").pvalue
        lower = stats.ttest_ind(
            np.array(a) + margin, b, equal_var=False, alternative="greater"
        ).pvalue
        assert noninferior(found, margin) == (upper < 0.05)
        assert equivalent(found, margin) == (max(upper, lower) < 0.05)
    better = by_hand(-0.3, 0.01, 9)
    assert noninferior(better, 0.1) and not equivalent(better, 0.1)
    assert noninferior(better, 0.0) and not equivalent(by_hand(0, 1, 9), 0.0)


def test_noninferiority_errs_once_in_twenty_where_the_margin_is_the_truth() -> None:
    g, tries = np.random.default_rng(3), 4000
    wrong = 0
    for _ in range(tries):
        found = welch(g.normal(1.0, 1, 5).tolist(), g.normal(0, 1, 5).tolist())
        assert found is not None
        wrong += noninferior(found, 1.0)
    assert wrong / tries == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / tries))


# per group for 80% power, two-sided .05 (Cohen 1988, table 2.4.1, and G*Power)
@pytest.mark.parametrize(("size", "seeds"), [(0.2, 394), (0.5, 64), (0.8, 26), (1.0, 17), (2.0, 6)])
def test_seeds_needed_are_cohens(size: float, seeds: int) -> None:
    assert seeds_needed(size, (1.0, 1.0)) == seeds
    assert seeds_needed(-size * 1e-3, (1e-3, 1e-3)) == seeds
    assert power(size, (1.0, 1.0), seeds) >= 0.8 > power(size, (1.0, 1.0), seeds - 1)


def test_power_is_what_simulated_welch_tests_reach() -> None:
    g, tries = np.random.default_rng(5), 4000
    a, b = g.normal(2.0, 1, (tries, 6)), g.normal(0, 2, (tries, 6))
    test = stats.ttest_ind(a, b, axis=1, equal_var=False)
    seen = float(((test.pvalue < 0.05) & (test.statistic > 0)).mean())
    assert power(2.0, (1.0, 2.0), 6) == pytest.approx(seen, abs=0.025)


def test_seeds_needed_at_the_ends() -> None:
    assert seeds_needed(0.0, (1.0, 1.0)) is None
    assert seeds_needed(1e-4, (1.0, 1.0)) is None
    assert seeds_needed(1.0, (0.0, 0.0)) == 2
    stricter = seeds_needed(1.0, (1.0, 1.0), level=0.99)
    assert stricter is not None and stricter > 17


def test_half_width_is_students() -> None:
    low, high = stats.t.interval(0.9, 3, loc=fmean(ONE), scale=stats.sem(ONE))
    assert half_width(stdev(ONE), 4, 0.9) == pytest.approx((high - low) / 2)
