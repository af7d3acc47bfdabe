"""What a study varies, and how a trial's values become settings."""

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from automtl.config import resolve
from automtl.config_tune import Range
from automtl.errors import ConfigError
from automtl.phases.tune._ranges import applied, distribution, ranges, reference
from automtl.phases.tune.results import Finding, front, knee, smallest
from automtl.strict import build


def config(*sets):
    return resolve(source="census_income", space="automtl_small", sets=sets, flags={})


def test_the_default_ranges_hold_the_runs_own_settings():
    own = config()
    spreads = ranges(own, num_tasks=3)
    values = reference(own, spreads, num_tasks=3)
    assert set(values) == set(spreads)
    assert applied(own, values).search.model_dump() == own.search.model_dump()
    assert spreads["space.without"].choices == (
        "nothing",
        "product",
        "cross",
        "self_attention",
        "mlp",
    )
    assert "space.without" not in ranges(
        config("space.interaction=[cross(1), cross(2), skip]"), num_tasks=3
    )
    changed = applied(own, values).space
    assert changed.interaction == own.space.interaction
    assert (changed.num_experts, changed.num_blocks, changed.expert) == (
        own.space.num_experts,
        own.space.num_blocks,
        own.space.expert,
    )
    assert changed.chosen(3) == own.space.chosen(3)
    for name, spread in spreads.items():
        kind = distribution(spread)
        assert kind._contains(kind.to_internal_repr(values[name])), name


def test_values_become_settings():
    made = applied(
        config(),
        {
            "search.epochs": 4,
            "search.warmup_share": 0.5,
            "space.num_experts": 3,
            "space.chosen_share": 0.5,
            "space.max_width": 64,
            "space.without": "product",
            "search.weight_lr": 0.05,
            "retrain.lr": 0.002,
        },
    )
    assert (made.search.epochs, made.search.warmup_epochs, made.search.weight_lr) == (4, 2, 0.05)
    assert (made.space.num_experts, made.space.chosen_experts) == (3, 2)
    assert [block for block in made.space.expert if block.startswith("mlp")] == [
        "mlp(16)",
        "mlp(64)",
    ]
    assert made.space.interaction == (
        "cross(1)",
        "cross(2)",
        "self_attention(2)",
        "mlp(64)",
        "mlp(128)",
        "skip",
    )
    assert (
        applied(config(), {"space.without": "nothing"}).space.interaction
        == config().space.interaction
    )
    assert made.retrain.lr == 0.002
    assert made.retrain.epochs == config().retrain.epochs


def test_warm_up_stays_below_the_epochs():
    assert (
        applied(config(), {"search.epochs": 2, "search.warmup_share": 1.0}).search.warmup_epochs
        == 1
    )


def test_values_that_break_a_rule_together_are_refused():
    with pytest.raises(ConfigError, match="must be below search.epochs"):
        applied(config("search.epochs=6", "search.warmup_epochs=3"), {"search.epochs": 2})


def test_named_parameters_take_the_place_of_the_default_ones():
    paper = ("search.strategy=darts", "search.selection=argmax")
    named = "tune.parameters={search.epochs: {low: 2, high: 3}}"
    with pytest.raises(ConfigError, match=r"search.epochs: must be read by strategy random_search"):
        ranges(config(named), num_tasks=2)
    spreads = ranges(config(named, *paper), num_tasks=2)
    assert spreads == {"search.epochs": Range(low=2, high=3)}
    with pytest.raises(
        ConfigError,
        match=r"tune.parameters.search.epoch: must be a setting of .*did you mean 'search.epochs'",
    ):
        ranges(config("tune.parameters={search.epoch: {low: 2, high: 3}}"), num_tasks=2)


def test_a_race_varies_passes_candidates_and_checks():
    spreads = ranges(config(), num_tasks=2)
    assert {name for name in spreads if name.startswith("search.")} == {
        "search.race_epochs",
        "search.race_candidates",
        "search.race_checks",
    }
    both = ranges(config("search.strategy=darts"), num_tasks=2)
    assert "search.race_epochs" in both and "search.alpha_lr" in both
    alone = ranges(config("search.strategy=darts", "search.selection=argmax"), num_tasks=2)
    assert "search.race_epochs" not in alone and "search.jsd_weight" in alone


def test_a_mixture_without_beta_has_no_chosen_experts_to_vary():
    spreads = ranges(config("search.sharing=mmoe"), num_tasks=2)
    assert "space.chosen_share" not in spreads
    assert "search.jsd_weight" not in spreads


@pytest.mark.parametrize(
    ("spread", "expected"),
    [
        (Range(low=2, high=8), IntDistribution(2, 8)),
        (Range(low=2, high=8, log=True), IntDistribution(2, 8, log=True)),
        (Range(low=0.1, high=1.0, log=True), FloatDistribution(0.1, 1.0, log=True)),
        (Range(low=0.0, high=1.0, step=0.25), FloatDistribution(0.0, 1.0, step=0.25)),
        (Range(choices=("a", "b")), CategoricalDistribution(("a", "b"))),
    ],
)
def test_ranges_as_optuna_knows_them(spread, expected):
    assert distribution(spread) == expected


@pytest.mark.parametrize(
    "fault",
    [
        {"low": 1},
        {"low": 3, "high": 2},
        {"low": 0, "high": 2, "log": True},
        {"low": 1, "high": 2, "choices": (1,)},
    ],
)
def test_ranges_that_cannot_be_meant(fault):
    with pytest.raises(ConfigError, match="range"):
        build(Range, fault, "tune.parameters.x")


def finding(number, loss, cost):
    return Finding(
        number=number,
        state="complete" if loss is not None else "fail",
        values={},
        loss=loss,
        cost=cost,
    )


FOUND = [
    finding(0, 1.0, 100.0),
    finding(1, 1.004, 40.0),
    finding(2, 1.2, 10.0),
    finding(3, 1.3, 50.0),
    finding(4, None, 1.0),
]


def test_the_front_is_what_no_other_trial_beats_in_both():
    expected = [
        a
        for a in FOUND[:4]
        if not any(b.loss <= a.loss and b.cost <= a.cost and b is not a for b in FOUND[:4])
    ]
    assert front(FOUND) == sorted(expected, key=lambda f: f.cost)


def test_the_smallest_budget_within_a_share_of_the_best():
    assert smallest(FOUND, 0.005).number == 1
    assert smallest(FOUND, 0.0).number == 0
    assert smallest(FOUND, 0.5).number == 2
    assert smallest([FOUND[4]], 0.5) is None


def test_the_knee_is_furthest_below_the_line_between_the_ends():
    def below(f):  # distance to the line from (10, 1.2) to (100, 1.0), axes scaled
        return 1 - (f.cost - 10) / 90 - (f.loss - 1.0) / 0.2

    points = front(FOUND)
    assert knee(points) == max(points, key=below)
    assert knee(points[:2]) is None
