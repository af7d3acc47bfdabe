"""G on tables whose best, random and derived losses are known."""

import math

import numpy as np
import pytest
from scipy import stats

from automtl.benchmarks.gain import gain, marks
from automtl.errors import ConfigError, DataError
from tests.benchmarks.tables import frame

EFFECTS = np.linspace(0, 0.047, 48)  # architecture i loses .5 + i / 1000
BEST, RANDOM = [f"a{i:03}" for i in (0, 1, 2, 3)], [f"a{i:03}" for i in (12, 19, 24, 25)]


@pytest.fixture(scope="module")
def table():
    return frame(EFFECTS, noise=0.0, strata=("x", "y"), groups={"best": BEST, "random": RANDOM})


def test_the_marks_are_means_of_fresh_seeds(table):
    found = marks(table)
    assert found.best == pytest.approx(0.5015) and found.random == pytest.approx(0.52)
    assert (found.gain(0.5015), found.gain(0.52)) == pytest.approx((1, 0))
    assert found.gain(0.51075) == pytest.approx(0.5) and found.gain(0.5385) == pytest.approx(-1)
    spoilt = table.copy()
    spoilt.loc[spoilt["stage"] != "fresh", "loss"] += 1.0
    assert marks(spoilt).best == pytest.approx(0.5015), "what chose the groups does not judge them"


def test_the_best_interaction_alone(table):
    known = table[~table["sealed"] & (table["stage"] == "table")]
    mean = known[known["stratum"] == "x"]["loss"].mean()
    assert marks(table).interaction == pytest.approx(mean)
    turned = table.copy()
    turned.loc[turned["stratum"] == "x", "loss_b"] += 1  # B rows choose it
    other = known[known["stratum"] == "y"]["loss"].mean()
    assert marks(turned).interaction == pytest.approx(other)


def test_g_over_searches_and_its_lower_limit(table):
    derived = {s: {2: 0.503 + 0.001 * s, 3: 0.505 + 0.001 * s} for s in range(10)}
    found = gain(derived, table)
    values = [(0.52 - (0.504 + 0.001 * s)) / (0.52 - 0.5015) for s in range(10)]
    assert found.values == pytest.approx(tuple(values))
    expected = np.mean(values) - stats.t.ppf(0.95, 9) * stats.sem(values)
    assert found.mean == pytest.approx(np.mean(values)) and found.lower == pytest.approx(expected)
    assert found.passed == (np.mean(values) >= 0.7 and expected >= 0.5)
    good = gain({s: {2: 0.5019 + 1e-4 * s} for s in range(10)}, table)
    assert good.passed and "not shown to be better" not in good.words
    one = gain({0: {4: 0.5015}}, table)
    assert one.mean == pytest.approx(1) and one.lower is None and not one.passed


def test_what_passes_is_what_the_rule_asks_for(table):
    nine = gain({s: {2: 0.5019 + 1e-4 * s} for s in range(9)}, table)
    assert nine.lower > 0.9 and not nine.passed and "9 searches, where the rule asks" in nine.words
    noise = table.assign(loss=np.random.default_rng(0).permutation(table["loss"]))
    noise.attrs = table.attrs
    best = marks(noise).best
    found = gain({s: {2: best - 0.01 + 1e-4 * s} for s in range(10)}, noise)
    assert found.lower > 0.9 and not found.passed
    assert "10 searches, on a table that is not shown to rank architectures" in found.words


def test_replayed_searches_have_the_limit_of_ten(table):
    losses = np.random.default_rng(1).normal(0.505, 0.004, 1000)
    mean, lower = marks(table).of_searches(losses)
    gains = (0.52 - losses) / (0.52 - 0.5015)
    half = stats.t.ppf(0.95, 9) * gains.std(ddof=1) / np.sqrt(10)
    assert (mean, lower) == pytest.approx((gains.mean(), gains.mean() - half))
    with pytest.raises(ConfigError, match="losses: must be of two searches or more, got 1"):
        marks(table).of_searches(losses[:1])


def test_a_search_that_found_one_choice_is_reported_so(table):
    level = marks(table).interaction
    found = gain({s: {2: level + 1e-5 * (s - 5)} for s in range(10)}, table)
    assert "not shown to be better than the best interaction alone" in found.words


def test_tables_and_losses_that_cannot_judge_are_refused(table):
    for derived in ({}, {0: {}}, {0: {2: 0.5}, 1: {2: math.nan}}):
        with pytest.raises(DataError, match="derived"):
            gain(derived, table)
    with pytest.raises(DataError, match="of the training seeds of .* groups, 2, 3, 4, got 0, 9"):
        gain({0: {2: 0.5, 9: 0.5}, 1: {0: 0.5}}, table)
    with pytest.raises(DataError, match="fresh seeds of its group 'random', got 0 of 0"):
        marks(frame(EFFECTS))
    turned = frame(EFFECTS, noise=0.0, groups={"best": RANDOM, "random": BEST})
    with pytest.raises(DataError, match="there is nothing to find in it"):
        marks(turned)
    absent = frame(EFFECTS, groups={"best": [*BEST, "a999"], "random": RANDOM})
    with pytest.raises(DataError, match="got 4 of 5"):
        marks(absent)


def test_losses_may_be_numpys(table):
    plain = {0: {2: 0.51, 3: 0.52}, 1: {2: 0.5}}
    numpys = {s: {np.int64(q): np.float64(v) for q, v in of.items()} for s, of in plain.items()}
    assert gain(numpys, table).values == pytest.approx(gain(plain, table).values)
