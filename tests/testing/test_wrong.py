"""Each rule of `automtl.testing` says that a module is wrong which is wrong in what the rule is
about, in words that name the module, the rule and what was got; and passes the same module mended.
"""

import pytest
import torch

from automtl.errors import ConfigError
from automtl.layers.register import register_operation
from automtl.sharing.network import GatedNetwork
from automtl.sharing.register import register_sharing
from automtl.strategies._random import RandomSampling
from automtl.testing import (
    check_operation,
    check_sharing,
    check_strategy,
    operations,
    sharing,
    strategies,
)
from automtl.testing.rules import Broken, demand_close
from tests.support import without_plugins
from tests.testing import wrong_operations, wrong_sharing, wrong_strategies


@pytest.fixture(autouse=True)
def nothing_registered():
    with without_plugins():
        yield


def check(cls):
    """Hold a class to the contract of its family."""
    if issubclass(cls, GatedNetwork):
        cls.kind = "wrong"
        register_sharing(cls, like="mmoe")
        check_sharing(cls)
    elif issubclass(cls, wrong_operations.Operation):
        register_operation("wrong", cls, place="expert")
        check_operation("wrong", place="expert")
    else:
        check_strategy(cls)


FAMILIES = [
    (wrong_sharing, sharing),
    (wrong_operations, operations),
    (wrong_strategies, strategies),
]
WRONG = {f"{w.__name__.rpartition('_')[2]}-{c.__name__}": c for w, _ in FAMILIES for c in w.WRONG}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_by_the_rule_meant_for_it(name):
    with pytest.raises(AssertionError) as caught:
        check(WRONG[name])
    lines = str(caught.value).splitlines()
    meant = [line for line in lines if f"rule {WRONG[name].__doc__}: " in line]
    assert len(meant) == 1 and len({line.partition(": ")[0] for line in lines}) == len(lines), lines
    assert ("'wrong', rule" in meant[0] or WRONG[name].__name__ in meant[0]) and ", got " in meant[
        0
    ]


@pytest.mark.parametrize("cls", [wrong_sharing.Noisy, wrong_operations.Operation, RandomSampling])
def test_what_is_not_wrong_passes(cls):
    check(cls)


@pytest.mark.parametrize(("wrong", "family"), FAMILIES, ids=["sharing", "operations", "strategies"])
def test_every_rule_has_something_that_breaks_it(wrong, family):
    assert {cls.__doc__ for cls in wrong.WRONG} == set(family.RULES)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: check_sharing("mmoee"), "did you mean 'mmoe'"),
        (lambda: check_sharing(GatedNetwork), "call automtl.register_sharing first"),
        (lambda: check_sharing("mmoe", settings={"gate": 1}), "must be a setting of mmoe"),
        (lambda: check_sharing("mmoe", without=["rows"]), "without: must name rules, got 'rows'"),
        (lambda: check_operation("mlp(4)", place="tower"), "place must be expert or interaction"),
        (lambda: check_operation("cross(2)", place="expert"), "must be an expert operation"),
        (lambda: check_strategy("dart"), "did you mean 'darts'"),
    ],
)
def test_what_cannot_be_checked_is_said(call, message):
    with pytest.raises(ConfigError) as caught:
        call()
    assert message in str(caught.value)


def test_a_rule_may_be_left_out():
    cls = wrong_sharing.UnreadParameter
    cls.kind = "wrong"
    register_sharing(cls, like="mmoe")
    check_sharing("wrong", without=[cls.__doc__])
    with pytest.raises(AssertionError, match="no gradient|none for unread"):
        check_sharing("wrong")


INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("one", "other", "tolerance", "holds"),
    [
        (1.0, 1.0, 0.0, True),
        (1.0, 1.001, 0.0, False),
        (1.0, 1.001, 1e-2, True),
        (NAN, NAN, 0.0, True),
        (NAN, 1.0, 1.0, False),
        (INF, INF, 0.0, True),
        (INF, 1.0, 1.0, False),
        (1.0, INF, 0.0, False),
        (1.0, INF, 1.0, False),
        (-INF, INF, 1.0, False),
        (True, False, 0.0, False),
        (3, 3, 0.0, True),
    ],
)
def test_two_answers_are_told_apart(one, other, tolerance, holds):
    pair = [torch.tensor([one])], [torch.tensor([other])]
    if holds:
        demand_close(*pair, "must be alike", tolerance)
    else:
        with pytest.raises(Broken, match="must be alike, got a difference of .* in number 0"):
            demand_close(*pair, "must be alike", tolerance)


def test_a_rule_says_what_must_hold():
    for family in (sharing, operations, strategies):
        assert all(
            len(rule.text) > 40 and rule.text.endswith(".") for rule in family.RULES.values()
        )


@pytest.mark.parametrize(("old", "new"), [("weigh", "unit_weights"), ("fuse", "combine")])
def test_a_hook_by_its_old_name_is_refused_with_the_new_one(old, new):
    with pytest.raises(ConfigError, match=rf"Old: must define {new}\(.*, got {old}; rename"):
        type("Old", (GatedNetwork,), {"kind": "old", old: lambda self, *given: None})
