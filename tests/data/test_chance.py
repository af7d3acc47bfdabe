"""Tests of chance against scipy, their level by simulation, and Holm's rule by hand."""

import numpy as np
import pytest
from scipy import stats

from automtl.data.prepare._chance import chi_square, rank_test, unlikely


@pytest.mark.parametrize("shape", [(2, 2), (4, 2), (4, 5)])
def test_chi_square_is_scipys(shape: tuple[int, int]) -> None:
    counts = np.random.default_rng(0).integers(20, 90, shape)
    assert chi_square(counts) == pytest.approx(
        stats.chi2_contingency(counts, correction=False).pvalue, rel=1e-12
    )


def test_rare_classes_are_counted_as_one_and_empty_parts_left_out() -> None:
    common = np.array([[300, 200], [100, 130], [0, 0], [90, 60]])
    rare = np.array([[12, 10, 4], [5, 7, 1], [0, 0, 0], [2, 3, 1]])
    expected = np.column_stack([common, rare.sum(1)])[[0, 1, 3]]
    assert chi_square(np.column_stack([common, rare])) == pytest.approx(
        stats.chi2_contingency(expected).pvalue, rel=1e-12
    )
    left_out = stats.chi2_contingency(common[[0, 1, 3]], correction=False).pvalue
    assert chi_square(np.column_stack([common, rare[:, 2]])) == pytest.approx(left_out, rel=1e-12)


@pytest.mark.parametrize(
    "counts",
    [
        [[0, 0], [0, 0]],
        [[9, 9], [0, 0]],
        [[50, 0], [40, 0]],
        [[1, 2], [2, 1]],
        [[1000, 3], [1000, 4]],
    ],
)
def test_too_few_to_tell(counts: list[list[int]]) -> None:
    assert chi_square(np.array(counts)) is None


def test_ranks_are_scipys_with_ties() -> None:
    g = np.random.default_rng(0)
    groups = [g.poisson(3, size).astype(float) for size in (200, 50, 30, 20)]
    assert rank_test(groups) == pytest.approx(stats.kruskal(*groups).pvalue, rel=1e-12)
    assert rank_test([*groups, np.zeros(0)]) == rank_test(groups)
    assert rank_test([np.ones(50), np.ones(60)]) is None
    assert rank_test([np.arange(50.0), np.arange(4.0)]) is None
    assert rank_test([np.arange(50.0)]) is None


@pytest.mark.parametrize(
    ("rate", "rows"), [(0.5, 2000), (0.01, 20_000), (0.004, 20_000), (0.03, 2000)]
)
def test_the_level_is_kept_for_rare_labels_too(rate: float, rows: int) -> None:
    """Parts drawn at random: p below .001 once in a thousand, and (2 standard errors) not often
    more.
    """
    g = np.random.default_rng(1)
    sizes = g.multinomial(rows, [0.64, 0.16, 0.1, 0.1], 4000)
    found = [
        chi_square(np.column_stack([positives, size - positives]))
        for size in sizes
        for positives in [g.binomial(size, rate)]
    ]
    assert np.mean([p is not None and p < 0.001 for p in found]) < 0.003
    told = [p for p in found if p is not None]
    assert len(told) > 3000 and abs(np.mean(np.array(told) < 0.05) - 0.05) < 0.02


def test_heavy_tails_raise_no_false_alarm() -> None:
    g = np.random.default_rng(0)
    sizes = np.cumsum([640, 160, 100])
    p = [rank_test(np.split(g.pareto(0.5, 1000), sizes)) for _ in range(2000)]
    assert np.mean([value is not None and value < 0.001 for value in p]) < 0.003


def test_holm_by_hand() -> None:
    assert unlikely({"a": 0.0004, "b": 0.0003, "c": 0.9, "d": None}) == ("b", "a")
    assert unlikely({"a": 0.0006, "b": 0.0003, "c": 0.9}) == ("b",)
    assert unlikely({"a": 0.0004, "b": 0.0004, "c": 0.0009}) == ()
    assert unlikely({}) == ()
