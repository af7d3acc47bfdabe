"""What is said of a study's best trial: beside the constant, and what its seeds tell apart."""

import pytest

from automtl.reports.study_remarks import remarks


def trials(*losses, constant=None):
    known = {} if constant is None else {"constant": constant}
    return [
        {"number": n, "loss": sum(of) / len(of), "facts": {"losses": list(of), **known}}
        for n, of in enumerate(losses)
    ]


def said(*losses, more_is_better=False, **given):
    name = "click auc" if more_is_better else "MTL-Loss"
    return remarks(trials(*losses, **given), monitor=name, more_is_better=more_is_better)


def test_a_best_that_is_no_better_than_the_constant_is_said_first():
    first, second = said([0.58], [0.57798], constant=0.57785)
    assert first == (
        "no trial is better than the constant (predicting the training rows' base rates): the best "
        "has validation MTL-Loss 0.57798 for 0.57785"
    )
    assert second.startswith("single trainings of one seed do not tell trials apart")
    assert len(said([0.58], [0.577], constant=0.57785)) == 1
    assert len(said([0.58], [0.577])) == 1, "of an older version the constant is not known"


def test_more_may_be_better():
    [line] = said([-0.49], more_is_better=True, constant=-0.5)
    assert line.endswith("the best has validation click auc 0.49000 for 0.50000")
    assert not said([-0.51], more_is_better=True, constant=-0.5)


def test_several_seeds_tell_what_counts_as_equal():
    """Deviations of .01 each: equal are means within .015 of the best's, .5."""
    pair = 0.01 / 2**0.5
    [line] = said(*([mean - pair, mean + pair] for mean in (0.5, 0.514, 0.516)))
    assert line.startswith("1 of 2 other trials count as equal to the best: within 1.5 x 0.01000")


@pytest.mark.parametrize("loss", [[0.5], [0.4, 0.6]])
def test_a_trial_alone_has_nothing_beside_it(loss):
    assert said(loss) == [] and remarks([], monitor="MTL-Loss", more_is_better=False) == []
