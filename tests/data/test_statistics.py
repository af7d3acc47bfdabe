"""Exact sums and counts against math.fsum, NumPy and pandas."""

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automtl.data.prepare._statistics import Moments, Vocabulary, exact_sum
from automtl.data.values.forms import Form

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None)
@given(st.lists(st.one_of(FINITE, st.integers(-1000, 1000).map(float)), max_size=30))
def test_exact_sum(values: list[float]) -> None:
    assert exact_sum(np.array(values, float)) == sum(map(Fraction, values), Fraction(0))


def test_moments_do_not_depend_on_the_order() -> None:
    values = np.random.default_rng(0).lognormal(3, 2, 5000)
    results = []
    for seed in range(3):
        moments, order = Moments(), np.random.default_rng(seed).permutation(values)
        for part in np.array_split(np.append(order, np.nan), 3 + seed):
            moments.add(part)
        results.append(moments.result())
    assert results[0] == results[1] == results[2]
    assert results[0][0] == pytest.approx(math.fsum(values) / 5000, rel=1e-15)
    assert results[0][1] == pytest.approx(values.std(), rel=1e-12)


def test_moments_of_parts_are_those_of_the_whole() -> None:
    values, parts = np.random.default_rng(0).lognormal(3, 2, 500), [Moments(), Moments(), Moments()]
    for moments, part in zip(parts, np.split(values, [100, 100]), strict=True):
        moments.add(part)
    whole = Moments()
    whole.add(values)
    assert Moments.merged(parts).result() == whole.result() and Moments.merged(parts).count == 500


@pytest.mark.parametrize("value", [0.1, 1e15, -3.0])
def test_a_constant_has_standard_deviation_one(value: float) -> None:
    moments = Moments()
    moments.add(np.full(7, value))
    assert moments.result() == (pytest.approx(value, rel=1e-15), 1.0)


def test_no_values() -> None:
    assert Moments().result() == (0.0, 1.0)


def test_vocabulary_against_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("automtl.data.prepare._statistics.COMPACT_ROWS", 10)
    words = pd.Series(np.random.default_rng(0).choice([*"abcdefgh", ""], 500))
    vocabulary = Vocabulary()
    for part in np.array_split(words.to_numpy(dtype=object), 20):
        batch = pa.array(part, pa.string()).dictionary_encode()
        vocabulary.add(
            batch.dictionary, np.bincount(batch.indices.to_numpy(), minlength=len(batch.dictionary))
        )
    expected = words[words != ""].value_counts()
    expected = expected[expected >= 50]
    ordered = sorted(expected.items(), key=lambda item: (-item[1], item[0]))
    assert list(zip(*vocabulary.result(Form(), 50).to_pydict().values(), strict=True)) == ordered
    assert 0 < len(ordered) < 8
