"""AUC and grouped AUC against all pairs by brute force, and against scikit-learn."""

import math
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from automtl.errors import DataError, NumericalError
from automtl.training.metrics.auc import Buckets, auc
from automtl.training.metrics.gauc import gauc


def by_pairs(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> Fraction | None:
    """Every positive against every negative, in fractions."""
    positive, negative = (
        [(scores[i], Fraction(float(weights[i]))) for i in np.flatnonzero(labels == c)]
        for c in (1, 0)
    )
    won = sum(
        (v * w * (2 if p > n else p == n) for p, v in positive for n, w in negative), Fraction(0)
    )
    pairs = sum((v * w for _, v in positive for _, w in negative), Fraction(0))
    return won / (2 * pairs) if pairs else None


def case(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Some rows with many or few ties, rare or common positives, weights with zeros, infinite
    scores, float32 or float64.
    """
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 30))
    labels = (rng.random(n) < rng.choice([0.1, 0.5, 0.9])).astype(rng.choice(["f4", "i8", "?"]))
    scores = (rng.integers(-3, 4, n) if seed % 2 else rng.standard_normal(n)).astype(
        rng.choice(["f4", "f8"])
    )
    if seed % 5 == 0:
        scores[rng.integers(0, n, 2)] = rng.choice([np.inf, -np.inf, -0.0, 0.0], 2)
    return labels, scores, rng.choice([0, 0.25, 1, 1.5, 3.7], n)


def check(got: float | None, expected: Fraction | None) -> bool:
    return (
        got is None if expected is None else got is not None and abs(got - float(expected)) < 1e-12
    )


@pytest.mark.parametrize(
    "seeds", [range(start, start + 100) for start in range(0, 1000, 100)], ids=str
)
def test_a_thousand_small_cases_equal_brute_force(seeds):
    """chunk 3 makes nearly every case go by the table of buckets, the default none."""
    for seed in seeds:
        labels, scores, weights = case(seed)
        plain, weighted = (
            by_pairs(labels, scores, np.ones(len(labels))),
            by_pairs(labels, scores, weights),
        )
        for chunk, threads in ((3, 1), (2**17, 1), (5, 2)):
            assert check(auc(labels, scores, chunk=chunk, threads=threads), plain), seed
        for chunk in (3, 2**17):
            assert check(auc(labels, scores, weights, chunk=chunk), weighted), seed
        assert check(auc(labels, scores, np.ones(len(labels))), plain), seed


def rows(
    n: int, rate: float, decimals: int | None = None, dtype: str = "f4"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n)
    labels = rng.random(n) < rate
    scores = rng.standard_normal(n) + labels
    scores = scores if decimals is None else scores.round(decimals)
    return labels.astype(np.float32), scores.astype(dtype), rng.random(n)


@pytest.mark.parametrize("rate", [0.001, 0.02, 0.5, 0.97])
@pytest.mark.parametrize("decimals", [None, 2])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_large_case_equals_scikit_learn(rate, decimals, dtype):
    labels, scores, weights = rows(60_000, rate, decimals, dtype)
    expected = roc_auc_score(labels, scores)
    for settings_ in ({}, {"chunk": 1000}, {"chunk": 1000, "threads": 2}):
        assert auc(labels, scores, **settings_) == pytest.approx(expected, abs=1e-12)
    assert auc(labels, scores, weights, chunk=1000) == pytest.approx(
        roc_auc_score(labels, scores, sample_weight=weights), abs=1e-12
    )


STRETCHES = {
    "skewed": np.exp,
    "heavy tails": lambda s: np.float32(1e30) * s**9,
    "three values": np.sign,
    "denormal": lambda s: s * np.float32(1e-42),
    "infinite": lambda s: np.where(s > 2, np.inf, s),
}


@pytest.mark.parametrize("stretch", STRETCHES.values(), ids=STRETCHES)
def test_the_buckets_do_not_mind_the_shape_of_the_scores(stretch):
    labels, scores, _ = rows(20_000, 0.03)
    scores = stretch(scores).astype(np.float32)
    ranks = np.unique(scores, return_inverse=True)[1]  # scikit-learn refuses infinities
    assert auc(labels, scores, chunk=500) == pytest.approx(roc_auc_score(labels, ranks), abs=1e-12)


def test_the_buckets_do_settle_most_rows():
    """Else they would be a waste: on normal scores all but about a tenth, whatever one
    outlier is.
    """
    _, scores, _ = rows(50_000, 0.02)
    scores[7] = 1e9
    few, many = np.sort(scores[:1000]), scores[1000:]
    table = Buckets.over(few)
    assert table is not None
    count, rest = table.settle(many)
    assert 0 < rest.size < 0.2 * many.size
    settled = many[~np.isin(many, rest)]
    assert settled.size + rest.size == many.size
    assert count == 2 * np.searchsorted(few, settled).sum()


@pytest.mark.parametrize(
    "few", [[1.0, 1.0], [-np.inf, 1.0], [np.inf, np.inf], [0.0, 1e-45]], ids=str
)
def test_no_buckets_over_a_width_of_zero_or_without_end(few):
    assert Buckets.over(np.array(few, dtype=np.float32)) is None


def test_logits_keep_apart_what_a_sigmoid_rounds_together():
    labels, logits = np.array([0, 1, 0, 1]), np.array([40.0, 41.0, 42.0, 43.0])
    assert auc(labels, logits) == 0.75
    assert auc(labels, 1 / (1 + np.exp(-logits))) == 0.5


@pytest.mark.parametrize("labels", [[], [1], [1, 1], [0, 0, 0]], ids=str)
def test_one_class_is_undefined(labels):
    labels = np.array(labels, dtype=np.float32)
    assert auc(labels, np.ones(len(labels))) is None
    assert gauc(labels, np.ones(len(labels)), np.zeros(len(labels), dtype=np.int64)) is None


def test_a_class_without_weight_is_undefined():
    assert auc([0, 1, 1], [0.1, 0.2, 0.3], [1, 0, 0]) is None
    assert gauc([0, 1, 1], [0.1, 0.2, 0.3], [7, 7, 7], [1, 0, 0]) is None


@pytest.mark.parametrize(("rate", "copies"), [(0.5, 1), (0.02, 0.2)])
def test_temporary_memory_is_bounded(rate, copies):
    labels, scores, weights = rows(2_000_000, rate)
    tracemalloc.start()
    for shares, extra in ((None, 0), (weights, 24 * min(rate, 1 - rate) * len(labels))):
        tracemalloc.reset_peak()
        auc(labels, scores, shares)
        used = tracemalloc.get_traced_memory()[1]
        assert used < copies * scores.nbytes + 3 * len(labels) + 50e6 + extra
    tracemalloc.stop()


def test_arguments_stay_as_they_were():
    labels, scores, weights = rows(500, 0.2)
    copies = [array.copy() for array in (labels, scores, weights)]
    auc(labels, scores, weights)
    auc(labels, scores, chunk=10)
    gauc(labels, scores, np.arange(500) % 7, weights)
    assert all(np.array_equal(a, b) for a, b in zip(copies, (labels, scores, weights), strict=True))


FAULTS = [
    (
        [0, 1, 2],
        [1.0, 2, 3],
        None,
        DataError,
        "labels must be 0 or 1, got 2; leave out the rows without a label",
    ),
    ([0, 1, math.nan], [1.0, 2, 3], None, DataError, "labels must be 0 or 1"),
    ([0, 1, 1], [1.0, math.nan, 3], None, NumericalError, "scores must be numbers, got 1 NaN"),
    ([0, 1, 1], [1.0, 2], None, DataError, r"of one length, got \(3,\), \(2,\)"),
    ([[0, 1]], [[1.0, 2]], None, DataError, "of one length"),
    (
        [0, 1, 1],
        [1.0, 2, 3],
        [1.0, -1, 0],
        DataError,
        "weights must be finite and at least 0, got 1 that are not",
    ),
    ([0, 1, 1], [1.0, 2, 3], [1.0, math.inf, math.nan], DataError, "got 2 that are not"),
]


@pytest.mark.parametrize(("labels", "scores", "weights", "kind", "message"), FAULTS)
def test_what_cannot_be_is_refused(labels, scores, weights, kind, message):
    with pytest.raises(kind, match=f"auc: .*{message}"):
        auc(labels, scores, weights)
    with pytest.raises(kind, match=f"gauc: .*{message}"):
        gauc(labels, scores, np.zeros(len(scores), dtype=np.int64), weights)


def grouped_by_pairs(
    labels: np.ndarray, scores: np.ndarray, groups: np.ndarray, weights: np.ndarray
) -> Fraction | None:
    total = rows_ = Fraction(0)
    for group in set(groups.tolist()):
        at = np.array([g == group for g in groups.tolist()])
        value, weight = (
            by_pairs(labels[at], scores[at], weights[at]),
            sum(Fraction(float(w)) for w in weights[at]),
        )
        if value is not None:
            total, rows_ = total + value * weight, rows_ + weight
    return total / rows_ if rows_ else None


@pytest.mark.parametrize(
    "seeds", [range(start, start + 50) for start in range(0, 300, 50)], ids=str
)
def test_grouped_auc_equals_brute_force(seeds):
    for seed in seeds:
        labels, scores, weights = case(seed)
        rng = np.random.default_rng(seed)
        # up to -126
        groups = rng.integers(-3, 4, len(labels)).astype(rng.choice(["i1", "i4", "i8"])) * np.int8(
            rng.choice([1, 42])
        )
        for kind in (groups, groups.astype(str), groups / 7, groups.astype(np.int64) << 40):
            assert check(
                gauc(labels, scores, kind, chunk=4),
                grouped_by_pairs(labels, scores, groups, np.ones(len(labels))),
            ), seed
            assert check(
                gauc(labels, scores, kind, weights, chunk=4),
                grouped_by_pairs(labels, scores, groups, weights),
            ), seed


def test_grouped_auc_of_a_hand_value():
    """Group a: 1 of 2 pairs won, 3 rows; b: a tie, 2 rows; c: one class, left out."""
    assert (
        gauc([1, 0, 0, 1, 0, 1], [2.0, 1, 3, 5, 5, 9], ["a", "a", "a", "b", "b", "c"])
        == (0.5 * 3 + 0.5 * 2) / 5
    )
    assert (
        gauc([1, 0, 0, 1, 0, 1], [4.0, 1, 3, 5, 5, 9], ["a", "a", "a", "b", "b", "c"])
        == (1.0 * 3 + 0.5 * 2) / 5
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 200), st.integers(1, 40), st.integers(0, 2**31))
def test_grouped_auc_is_the_mean_of_the_groups_whatever_the_chunk(chunk, number, seed):
    rng = np.random.default_rng(seed)
    labels, scores, groups = (
        rng.integers(0, 2, 400),
        rng.standard_normal(400).astype(np.float32),
        rng.integers(0, number, 400),
    )
    parts = [
        (auc(labels[groups == g], scores[groups == g]), int((groups == g).sum()))
        for g in range(number)
    ]
    kept = [(value, size) for value, size in parts if value is not None]
    expected = (
        sum(value * size for value, size in kept) / sum(size for _, size in kept) if kept else None
    )
    assert gauc(labels, scores, groups, chunk=chunk) == (
        None if expected is None else pytest.approx(expected, abs=1e-12)
    )


def test_one_group_is_the_plain_auc():
    labels, scores, weights = rows(5_000, 0.1, decimals=1)
    assert gauc(labels, scores, np.zeros(5_000, dtype=int), weights) == pytest.approx(
        auc(labels, scores, weights), abs=1e-12
    )


def test_groups_must_be_one_per_row():
    with pytest.raises(DataError, match=r"gauc: groups must be one per row, got 2 for 3"):
        gauc([0, 1, 1], [1.0, 2, 3], [1, 2])
