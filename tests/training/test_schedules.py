"""Schedules at their ends and for spans of one epoch."""

import math

import pytest

from automtl.training.optim.schedules import auxiliary_skip, cosine_lr, jsd_weight


def test_cosine_starts_at_the_base_and_halves_in_the_middle():
    assert cosine_lr(0.02, 0, 15) == 0.02
    assert cosine_lr(0.02, 5, 10) == pytest.approx(0.01, rel=1e-15)
    assert cosine_lr(0.02, 14, 15) == pytest.approx(0.02 * math.sin(math.pi / 30) ** 2, rel=1e-12)
    assert cosine_lr(0.02, 0, 1) == 0.02


def test_auxiliary_skip_falls_in_a_line_to_exactly_zero():
    assert [auxiliary_skip(e, 5) for e in range(5)] == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert auxiliary_skip(14, 15) == 0.0
    assert auxiliary_skip(0, 1) == 0.0


def test_jsd_weight_waits_for_the_warm_up_and_ends_at_exactly_zero():
    weights = [jsd_weight(0.5, e, 15, 5) for e in range(15)]
    assert weights[:5] == [0.0] * 5  # e = 0 .. W - 1
    assert weights[5] == 0.5  # e = W
    assert weights[6] == pytest.approx(0.5 * 8 / 9, rel=1e-15)
    assert weights[14] == 0.0  # e = E - 1


def test_jsd_weight_without_warm_up():
    assert [jsd_weight(1.0, e, 3, 0) for e in range(3)] == [1.0, 0.5, 0.0]


@pytest.mark.parametrize(("epoch", "epochs", "warmup"), [(0, 1, 0), (1, 2, 1), (14, 15, 14)])
def test_one_epoch_after_the_warm_up_takes_the_end_value(epoch, epochs, warmup):
    assert jsd_weight(0.5, epoch, epochs, warmup) == 0.0


@pytest.mark.parametrize("epoch", [-1, 5])
def test_an_epoch_outside_the_plan_is_our_own_fault(epoch):
    with pytest.raises(AssertionError, match=str(epoch)):
        cosine_lr(0.02, epoch, 5)
