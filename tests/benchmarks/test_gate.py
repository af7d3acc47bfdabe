"""The gate's verdict on simulated tables whose truth is known, and the choice of the best."""

import numpy as np
import pandas as pd
import pytest

from automtl.benchmarks.gate import best_architectures, gate
from automtl.errors import DataError
from tests.benchmarks.tables import rows

RNG = np.random.default_rng(0)
SPREAD = RNG.normal(0, 0.01, 36)


def frame(*args, **settings):
    return pd.DataFrame(rows(*args, **settings))


def test_architectures_that_differ_pass_and_noise_does_not():
    passed, failed = gate(frame(SPREAD, noise=0.002)), gate(frame(np.zeros(360), noise=0.002))
    assert (
        passed.passed
        and passed.icc > 0.9
        and passed.interval[0] <= passed.icc <= passed.interval[1]
    )
    assert "can rank architectures" in passed.words and passed.architectures == 24
    assert (
        not failed.passed
        and failed.icc < 0.3
        and "CANNOT rank architectures: use it for cost and for ties only" in failed.words
    )


def test_one_bad_stratum_alone_does_not_pass():
    strata = ("a", "b", "c", "d")
    effects = [0.05 * (i % 4 == 2) for i in range(48)]
    verdict = gate(frame(effects, noise=0.002, strata=strata))
    assert (
        verdict.icc > 0.9
        and verdict.worst == "c"
        and verdict.without is not None
        and verdict.without < 0.3
        and not verdict.passed
    )


def test_the_margin_is_one_and_a_half_seed_deviations():
    assert gate(frame(SPREAD, noise=0.002)).delta == pytest.approx(1.5 * 0.002, rel=0.4)


def test_a_single_stratum_is_judged_as_it_is():
    verdict = gate(frame(SPREAD, noise=0.002, strata=("",)))
    assert verdict.without is None and verdict.passed == (verdict.icc >= 0.3)


def test_sealed_failed_fresh_and_hand_made_rows_are_not_looked_at():
    table = frame(SPREAD, noise=0.002)
    spoilt = table.copy()
    spoilt.loc[spoilt["sealed"], ["loss", "loss_b"]] = 1e6
    other = table.iloc[:1].assign(seed=7, loss=1e6, loss_b=-1e6)
    more = [
        other.assign(stage="fresh"),
        other.assign(kind="hand-made", architecture="h"),
        other.assign(architecture="f", loss=np.nan),
    ]
    spoilt = pd.concat([spoilt, *more])
    before, after = gate(table), gate(spoilt)
    assert (
        after.icc == before.icc
        and after.without == before.without
        and (before.failed, after.failed) == (0, 1)
    )
    assert "1 failed trainings are left out" in after.words
    assert best_architectures(spoilt, 5) == best_architectures(table, 5)


def test_the_best_are_chosen_on_b_rows():
    table = frame(SPREAD, noise=1e-5)
    table["loss_b"] = 2 - table["loss"]  # the other way round
    known = (
        table[~table["sealed"]].groupby("architecture")["loss"].mean().sort_values(ascending=False)
    )
    assert best_architectures(table, 4) == list(known.index[:4])


def test_without_a_second_seed_there_is_no_verdict():
    with pytest.raises(DataError, match="some trained with several seeds"):
        gate(frame(SPREAD, seeds=1))


def test_a_table_of_equal_losses_cannot_rank():
    """Its ICC is 0; the interval had no resample in which it was defined."""
    verdict = gate(pd.DataFrame(rows(np.zeros(12), noise=0.0)))
    assert (verdict.icc, verdict.interval, verdict.passed) == (0.0, (0.0, 0.0), False)
