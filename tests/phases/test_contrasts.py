"""One model against another: the tests against scipy and by hand, families, margins, words."""

from dataclasses import replace
from statistics import stdev

import numpy as np
import pytest
from scipy import stats

from automtl.phases.finished.contrasts import contrast, corrected
from automtl.runs.constant import LOSS
from automtl.statistics import holm, seeds_needed
from tests.phases.test_compare import seeds


def test_a_contrast_is_welchs_whatever_the_seeds_numbers():
    mine, theirs = seeds(0.3), seeds(0.3005, count=9)
    made = contrast(LOSS, "x", mine, theirs, better=False)
    a, b = list(mine.values()), list(theirs.values())
    test = stats.ttest_ind(a, b, equal_var=False)
    assert (made.p, made.freedom) == pytest.approx((test.pvalue, test.df))
    assert made.interval == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert made.rank_sum == pytest.approx(stats.mannwhitneyu(a, b).pvalue)
    assert made.difference == pytest.approx(np.mean(a) - np.mean(b)) and made.units == (6, 9)
    shuffled = dict(zip([7, 3, 90, 1, 0, 5], mine.values(), strict=True))
    assert contrast(LOSS, "x", shuffled, theirs, better=False) == made, "numbers pair nothing"


@pytest.mark.parametrize(
    ("mine", "theirs", "words"),
    [
        ({}, {0: 0.5}, "no figure to compare with x"),
        ({0: 1.0}, {0: 0.5, 1: 0.6}, "not tested against x: 1 seed against 2 seeds, and"),
        ({0: 1.0, 1: 1.1}, {0: 0.5}, "not tested against x: 2 seeds against 1 seed, and"),
    ],
)
def test_what_cannot_be_tested_is_said(mine, theirs, words):
    made = contrast(LOSS, "x", mine, theirs, better=False, margin=0.1)
    assert made.words("seeds", 0.1).startswith(words) and made.p is made.noninferior is None
    assert (made.difference is None) == (not mine)
    assert corrected([made], [(mine, theirs)]) == [made]


def test_ranks_are_looked_at_from_six_of_each_on():
    for few, many in ((5, 6), (6, 5), (2, 20)):
        made = contrast(LOSS, "x", seeds(0.3, count=few), seeds(0.4, count=many), better=False)
        assert made.rank_sum is None and made.p is not None
    made = contrast(LOSS, "x", seeds(0.3), seeds(0.4), better=False)
    assert made.rank_sum == pytest.approx(2 / 924), "all of twelve in order: 2 / C(12, 6)"


def test_the_families_are_the_losses_and_the_tasks_of_one_reference():
    figures = [
        (seeds(0.30 + 0.0004 * i, count=4), seeds(0.3005, count=5, start=50)) for i in range(5)
    ]
    names = [(LOSS, "x"), ("a auc", "x"), (LOSS, "y"), ("b auc", "x"), (LOSS, "x")]
    made = [
        contrast(metric, reference, *pair, better=metric != LOSS)
        for (metric, reference), pair in zip(names, figures, strict=True)
    ]
    done = corrected(made, figures)
    p = [c.p for c in made]
    assert [done[0].holm, done[4].holm] == pytest.approx(holm([p[0], p[4]]))
    assert [done[1].holm, done[3].holm] == pytest.approx(holm([p[1], p[3]]))
    assert done[2].holm == pytest.approx(p[2])
    assert [c.primary for c in done] == [True, False, True, False, True]


def test_seeds_needed_are_those_that_the_difference_asks_for_after_the_correction():
    mine, theirs = seeds(0.3, count=4), seeds(0.3002, count=4)
    one = contrast(LOSS, "x", mine, theirs, better=False)
    for family in (1, 3):
        made = corrected([one] * family, [(mine, theirs)] * family)[0]
        spread = stdev(mine.values()), stdev(theirs.values())
        expected = seeds_needed(one.difference, spread, level=1 - 0.05 / family)
        assert made.shown == "" and made.seeds_needed == expected > 4
        assert f"takes about {expected:,} of each" in made.words("retrain seeds", None)
    far = contrast(LOSS, "x", seeds(0.2), seeds(0.3), better=False)
    [far] = corrected([far], [(seeds(0.2), seeds(0.3))])
    assert (
        far.shown == "better" and far.seeds_needed is None and "takes" not in far.words("x", None)
    )


def test_a_margin_is_of_the_loss_alone_and_said():
    mine, theirs = {0: 0.50, 1: 0.52, 2: 0.51, 3: 0.53}, {0: 0.50, 1: 0.51, 2: 0.49, 3: 0.52}
    a, b = np.array(list(mine.values())), np.array(list(theirs.values()))
    for margin, words in (
        (0.02, ", not shown to be less than 0.02000 worse; to see"),
        (0.03, ", equal to it within 0.03000; to see"),
    ):
        made = contrast(LOSS, "x", mine, theirs, better=False, margin=margin)
        p = stats.ttest_ind(a - margin, b, equal_var=False, alternative="less").pvalue
        assert made.noninferior == made.equivalent == (p < 0.05)
        assert words in corrected([made], [(mine, theirs)])[0].words("seeds", margin)
    wide = {0: 0.40, 1: 0.46, 2: 0.43, 3: 0.49}
    made = contrast(LOSS, "x", wide, theirs, better=False, margin=0.01)
    assert made.noninferior and not made.equivalent
    undecided = replace(made, holm=0.2).words("seeds", 0.01)
    assert ", not worse by 0.01000 or more" in undecided
    assert contrast("a auc", "x", mine, theirs, better=True, margin=0.1).noninferior is None


def test_equal_figures_are_no_division_by_zero():
    same = dict.fromkeys(range(4), 0.5)
    made = contrast(LOSS, "x", same, same, better=False, margin=0.1)
    [made] = corrected([made], [(same, same)])
    assert made.p == 1.0 and made.equivalent and made.seeds_needed is None
    assert "takes more than 100,000 of each" in made.words("seeds", 0.1)
    shifted = dict.fromkeys(range(4), 0.25)
    [other] = corrected([contrast(LOSS, "x", shifted, same, better=False)], [(shifted, same)])
    assert other.p == 0.0 and other.shown == "better"


def test_tests_of_equal_models_err_once_in_twenty_over_the_whole_family(tmp_path):
    """Four models like the reference, 300 times: any shown difference of MTL-Loss is one too many."""
    g = np.random.default_rng(11)
    wrong = 0
    for _ in range(300):
        theirs = dict(enumerate(g.normal(0.3, 0.001, 5)))
        figures = [(dict(enumerate(g.normal(0.3, 0.001, 5))), theirs) for _ in range(4)]
        made = [contrast(LOSS, "x", *pair, better=False) for pair in figures]
        wrong += any(c.shown for c in corrected(made, figures))
    assert wrong / 300 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 300)
