"""Tau of scores with a table's losses: by scipy, by hand, on orders whose answer is known, and its
intervals by simulation.
"""

from itertools import pairwise
from statistics import fmean

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from automtl.benchmarks.order import _Judge, baselines, judge_order, truth
from automtl.errors import ConfigError, DataError
from tests.benchmarks.tables import frame

STRATA = ("a", "b", "c", "d")
EFFECTS = np.random.default_rng(1).permutation(np.linspace(0, 0.05, 60))


@pytest.fixture(scope="module")
def table():
    return frame(EFFECTS, noise=1e-6, strata=STRATA)


def scored(table, noise, seed=0):
    known, rng = truth(table), np.random.default_rng(seed)
    return dict(zip(known.index, known["loss"] + noise * rng.normal(size=len(known)), strict=True))


def test_tau_is_scipys_over_all_and_in_the_mean_within(table):
    known = truth(table)
    nets = [scored(table, 0.02, seed) for seed in range(3)]
    found = judge_order(nets, table, resamples=50)
    own = [pd.Series(net)[known.index] for net in nets]
    assert found.tau == pytest.approx(
        fmean(stats.kendalltau(one, known["loss"]).statistic for one in own)
    )
    within = [
        stats.kendalltau(one[part.index], part["loss"]).statistic
        for one in own
        for _, part in known.groupby("stratum")
    ]
    assert found.within == pytest.approx(fmean(within))
    assert (found.architectures, found.supernets) == (40, 3)


def test_ties_are_scipys_too_and_equal_scores_order_nothing():
    g = np.random.default_rng(2)
    losses, scores = g.integers(0, 5, 30).astype(float), g.integers(0, 4, 30).astype(float)
    judge, once = _Judge(losses, np.full(30, "x")), np.ones((1, 30))
    for side in judge.taus(scores, once):
        assert side[0] == pytest.approx(stats.kendalltau(scores, losses).statistic)
    assert [side[0] for side in judge.taus(np.zeros(30), once)] == [0.0, 0.0]
    strata = np.repeat(["x", "y"], 15)
    losses[15:] = 3.0  # nothing to order in y, so that x alone counts within
    inside = _Judge(losses, strata).taus(scores, once)[1][0]
    assert inside == pytest.approx(stats.kendalltau(scores[:15], losses[:15]).statistic)


def test_a_weight_is_a_copy():
    g = np.random.default_rng(3)
    losses, scores, times = g.normal(size=8), g.normal(size=8), np.array([[2, 0, 1, 3, 1, 0, 1, 0]])
    copies = np.repeat(np.arange(8), times[0])
    expected = stats.kendalltau(losses[copies], scores[copies]).statistic
    assert _Judge(losses, np.full(8, "x")).taus(scores, times)[0][0] == pytest.approx(expected)


def test_a_perfect_order_passes_and_chance_does_not(table):
    perfect = judge_order([scored(table, 0.0)] * 3, table)
    assert perfect.tau == perfect.within == 1 and perfect.passed
    assert "orders architectures better than every baseline" in perfect.words
    chance = [dict(zip(truth(table).index, g.normal(size=40), strict=True)) for g in generators(3)]
    found = judge_order(chance, table)
    assert not found.passed and found.interval[0] < 0 < found.interval[1]
    assert "NOT shown to order architectures better than log FLOPs" in found.words


def test_fewer_supernets_or_a_blind_table_do_not_pass(table):
    one, two = (judge_order([scored(table, 0.0)] * count, table, resamples=200) for count in (1, 2))
    assert not one.passed and not two.passed
    assert "and 1 supernet;" in one.words and "this supernet orders architectures" in one.words
    assert "of other seeds too few were looked at (the rule asks for 3)" in two.words
    blind = frame(np.zeros(60), noise=0.01, strata=STRATA)
    found = judge_order([scored(blind, 0.0)] * 3, blind, resamples=200)
    assert all(beside.beaten for beside in found.baselines.values()) and not found.passed
    assert "On a table not shown to rank architectures this tells nothing" in found.words


def test_the_sealed_alone_are_judged_without_a_gate_of_their_own():
    table = frame(EFFECTS, noise=1e-6, strata=STRATA, sealed=True)
    sealed = table[table["sealed"]].reset_index(drop=True)
    assert judge_order([scored(sealed, 0.0)] * 3, sealed, resamples=200).passed


def test_of_six_supernets_five_are_drawn(table):
    """The variance of a mean of six is s^2 / 6; of six drawn from them it would be a sixth less.
    Here one is turned: of five drawn three are in 3.5% (tau -.2), of six so many are in 6.2% (0).
    """
    best = scored(table, 0.0)
    turned = {name: -score for name, score in best.items()}
    low, high = judge_order([best] * 5 + [turned], table, resamples=4000).interval
    assert (low, high) == pytest.approx((-0.2, 1))


def generators(count):
    return [np.random.default_rng(100 + i) for i in range(count)]


def test_the_baselines_are_what_they_say(table):
    known, made = truth(table), baselines(table)
    numbers = known.index.str[1:].astype(int)
    flops = [made["log FLOPs"][name] for name in known.index]
    assert all(a > b for a, b in pairwise(flops)), "the larger the better, and sorted by number"
    tau = stats.kendalltau(-numbers, known["loss"]).statistic
    found = judge_order([scored(table, 0.0)], table, resamples=50).baselines
    assert found["log FLOPs"].tau == pytest.approx(tau)
    assert found["log parameters"].tau == pytest.approx(-tau)
    assert found["interaction only"].within == 0.0
    assert made["interaction only"][known.index[0]] == pytest.approx(
        known[known["stratum"] == known["stratum"].iloc[0]]["loss_b"].mean()
    )


def test_a_search_that_found_the_interaction_only_does_not_pass():
    effects = [
        0.02 * (i % 4) + 0.004 * e for i, e in enumerate(np.random.default_rng(4).random(96))
    ]
    table = frame(effects, noise=1e-6, strata=STRATA)
    known = truth(table)
    means = known.groupby("stratum")["loss"].transform("mean")
    only = [
        dict(zip(known.index, means + 1e-6 * g.normal(size=64), strict=True)) for g in generators(3)
    ]
    found = judge_order(only, table)
    assert found.tau > 0.7 and not found.baselines["interaction only"].beaten
    assert abs(found.within) < 0.2 and not found.passed
    inside = judge_order([scored(table, 0.0004, seed) for seed in range(3)], table)
    assert inside.passed and inside.within > 0.6


def test_a_bad_supernet_seed_widens_the_interval(table):
    good = [scored(table, 0.005, seed) for seed in range(3)]
    mixed = [*good[:2], {name: -score for name, score in good[2].items()}]
    even, uneven = (judge_order(nets, table, resamples=500) for nets in (good, mixed))
    assert even.interval[1] - even.interval[0] < 0.3 < uneven.interval[1] - uneven.interval[0]
    assert judge_order(good, table, resamples=500) == even, "the same again"


def test_intervals_hold_the_truth_by_simulation():
    """Normal losses and scores of correlation r, whose tau is (2 / pi) asin r: 40 tables of 48."""
    r, held = 0.6, 0
    expected = 2 / np.pi * np.arcsin(r)
    for seed in range(40):
        g = np.random.default_rng(seed)
        effects = g.normal(size=72)
        table = frame(0.01 * effects, noise=1e-9, strata=("a",))
        own = {
            f"a{i:03}": r * effect + np.sqrt(1 - r * r) * g.normal()
            for i, effect in enumerate(effects)
        }
        low, high = judge_order([own], table, resamples=300).interval
        held += low <= expected <= high
    assert held >= 34


def test_what_is_attainable_is_told_of_tables_with_two_seeds(table):
    assert judge_order([scored(table, 0.0)], table, resamples=50).attainable > 0.99
    once = frame(EFFECTS, seeds=1, strata=STRATA)
    found = judge_order([scored(once, 0.0)], once, resamples=50)
    assert found.attainable is None and "attainable" not in found.words


def test_sealed_failed_and_fresh_rows_do_not_count_and_scores_must_be_whole(table):
    from automtl.benchmarks.tables import first_part

    fresh = frame(EFFECTS, noise=1e-6, strata=STRATA, groups={"best": ["a000"], "random": ["a001"]})
    assert len(first_part(fresh)) == len(first_part(table))
    nets = scored(table, 0.0)
    for scores in ({}, {**nets, next(iter(nets)): float("nan")}, dict(list(nets.items())[1:])):
        with pytest.raises(DataError, match="must be finite and of every architecture"):
            judge_order([scores], table)
    with pytest.raises(DataError, match="of one supernet or more"):
        judge_order([], table)
    with pytest.raises(DataError, match="3 trained architectures"):
        truth(table[table["architecture"] == "a000"])


def test_of_a_few_architectures_no_interval_is_told(table):
    """Of four in perfect order every resample is perfect: +1.00 to +1.00, with an exact p of .08."""
    for count in (1, 4):
        few = table[table["architecture"].isin(sorted(set(table["architecture"]))[:count])]
        with pytest.raises(DataError, match=f"must hold 12 trained .* or more, got {count}"):
            judge_order([dict.fromkeys(few["architecture"], 0.0)], few)


@pytest.mark.parametrize("wrong", ["x", None, [1], float("inf")])
def test_what_is_no_score_is_named(table, wrong):
    with pytest.raises(DataError, match="none for 1 of them, a000 first"):
        judge_order([{**scored(table, 0.0), "a000": wrong}], table)
    with pytest.raises(DataError, match="must map architectures to losses, got list"):
        judge_order([[1.0]], table)
    with pytest.raises(ConfigError, match="resamples: must be at least 1"):
        judge_order([scored(table, 0.0)], table, resamples=0)


@pytest.mark.parametrize("column", ["loss", "loss_b", "seed", "parameters"])
def test_a_table_without_a_column_is_refused(table, column):
    scores = scored(table, 0.01)
    with pytest.raises(ConfigError, match=f"table: must have the columns {column}, got architect"):
        judge_order([scores], table.drop(columns=column), resamples=5)
    with pytest.raises(ConfigError, match="table: must be a table of trainings, got str"):
        judge_order([scores], "census_income", resamples=5)
