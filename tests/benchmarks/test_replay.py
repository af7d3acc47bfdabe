"""Replays on tables whose answers can be computed: what is picked, what it costs, what it is judged
by.
"""

import numpy as np
import pytest

from automtl.benchmarks._seeds import without_seed_effects
from automtl.benchmarks._statistics import best_predictions
from automtl.benchmarks.replay import Replayer
from automtl.errors import ConfigError, DataError
from tests.benchmarks.tables import AT, ROWS, frame

EFFECTS = np.random.default_rng(1).permutation(np.arange(48) / 1000)
OPEN = [i for i in range(48) if (i // 2) % 3 != 2]


@pytest.fixture(scope="module")
def table():
    return frame(EFFECTS, noise=0.0)


@pytest.fixture(scope="module")
def replayer(table):
    return Replayer(table)


def test_random_search_is_the_least_of_so_many_drawn(replayer):
    """P(all of k drawn without replacement are above the j-th) is a ratio of binomials."""
    losses = np.sort(0.5 + EFFECTS[OPEN])
    n = len(losses)
    for draws in (1, 4, 12, n):
        found = replayer.replay("random", draws, resamples=2000)
        above = [np.prod([(n - j - i) / (n - i) for i in range(draws)]) for j in range(n + 1)]
        shares = -np.diff(above)
        expected = float(losses @ shares)
        spread = np.sqrt(float((losses - expected) ** 2 @ shares) / 2000)
        assert found.loss == pytest.approx(expected, abs=4 * spread + 1e-12)
        assert found.middle[0] <= found.loss <= found.middle[1] + 1e-12
    assert found.middle == pytest.approx((losses[0], losses[0])), "all drawn: the best is known"


def test_costs_are_the_ledgers(replayer, table):
    n, flops = len(OPEN), 100 + np.array(OPEN)
    whole = 3 * AT[-1] * ROWS["fit"] + 3 * ROWS["b"]  # three whole epochs, each judged on B
    assert replayer.replay("random", n, resamples=3).costs == pytest.approx(
        [whole * flops.sum()] * 3
    )
    assert replayer.replay("tpe", n, resamples=3).costs == pytest.approx([whole * flops.sum()] * 3)
    even = Replayer(table, prices={f"a{i:03}": 2.0 for i in range(48)})
    assert even.replay("random", 5, resamples=3).costs == pytest.approx([5 * 2 * whole] * 3)


def test_halving_keeps_a_third_at_each_rung(table, replayer):
    assert [AT[i] for i in replayer.rungs()] == [0.125, 0.5, 2.0]
    even = Replayer(table, prices={f"a{i:03}": 1.0 for i in range(48)})
    # 32 to 1/8 epoch, 11 on to 1/2, 4 on to 2, 2 on to 3
    fit, a, b = ROWS["fit"], ROWS["a"], ROWS["b"]
    trained = 3 * fit * (32 * 0.125 + 11 * 0.375 + 4 * 1.5 + 2 * 1.0)
    judged = a * (32 + 11 + 4) + b * 2 * 2  # the last two at 2 (the rung) and 3 epochs
    found = even.replay("halving", 32, resamples=5)
    assert found.costs == pytest.approx([trained + judged] * 5)
    assert found.loss == pytest.approx(0.5 + min(EFFECTS[OPEN])), "curves that do not cross"
    whole = even.replay("random", 32, resamples=5).cost
    assert found.cost < 0.25 * whole
    at_two = even.replay("halving", 32, resamples=5, rungs=(2,))
    trained = 3 * fit * (32 * 2.0 + 11 * 1.0)
    assert at_two.costs == pytest.approx([trained + a * 32 + b * 11 * 2] * 5)
    with pytest.raises(ConfigError, match="rungs: must be of 0.125, .*, got 0.3"):
        even.replay("halving", 32, resamples=5, rungs=(0.3,))
    for wrong in ((2, 0.5), (2, 2)):
        with pytest.raises(ConfigError, match="rungs: must ascend"):
            even.replay("halving", 32, resamples=5, rungs=wrong)
    with pytest.raises(ConfigError, match="rungs: must be left out.* got random"):
        even.replay("random", 32, resamples=5, rungs=(2,))
    one = even.replay("halving", 1, resamples=5)
    assert one.cost == pytest.approx(3 * 3 * fit + 3 * b), "there is nothing to halve"


def test_trainings_that_end_early_are_picked_by_their_best_whole_epoch_so_far(table):
    """Drawn curves on B, the same for both seeds of an architecture; the least by hand."""
    drawn = dict(
        zip(
            sorted(set(table["architecture"])),
            np.random.default_rng(3).random((48, 6)),
            strict=False,
        )
    )
    other = table.assign(curve_b=[drawn[name] for name in table["architecture"]])
    other.attrs = table.attrs
    replayer = Replayer(other, prices=dict.fromkeys(drawn, 1.0))
    losses = other.groupby("architecture")["loss"].first()
    for end, marks in ((0.5, [2]), (1, [3]), (2, [3, 4])):
        found = replayer.replay("random", len(OPEN), resamples=3, epochs=end)
        best = min(drawn, key=lambda name: drawn[name][marks].min())
        assert found.losses == pytest.approx([losses[best]] * 3)
        paid = len(OPEN) * (3 * end * ROWS["fit"] + len(marks) * ROWS["b"])
        assert found.costs == pytest.approx([paid] * 3)
    whole, told = (replayer.replay("random", 9, resamples=3, epochs=e) for e in (None, AT[-1]))
    assert np.array_equal([whole.losses, whole.costs], [told.losses, told.costs])
    with pytest.raises(ConfigError, match="epochs: must be of 0.125, .*, got 7"):
        replayer.replay("random", 3, epochs=7)
    with pytest.raises(ConfigError, match="epochs: must be left out.* got tpe"):
        replayer.replay("tpe", 3, epochs=1)


def test_halving_is_misled_by_curves_that_cross(table):
    crossed = table.copy()
    crossed.attrs = table.attrs
    crossed["curve_a"] = [[-loss] * len(AT) for loss in crossed["loss"]]
    found = Replayer(crossed).replay("halving", len(OPEN), resamples=5)
    kept = np.sort(EFFECTS[OPEN])[-2:]
    assert found.loss == pytest.approx(0.5 + kept[0])


def test_tpe_finds_what_hangs_on_single_choices_sooner_than_chance():
    """The loss is the digit sum of the number, which its two experts tell."""
    effects = np.array([0.01 * (i % 10) + 0.01 * (i // 10) for i in range(90)])
    replayer = Replayer(frame(effects, noise=0.0))
    tpe, chance = (replayer.replay(name, 24, resamples=300) for name in ("tpe", "random"))
    error = np.sqrt(tpe.losses.var() / 300 + chance.losses.var() / 300)
    assert tpe.loss < chance.loss - 4 * error
    same = replayer.replay("tpe", 8, resamples=50), replayer.replay("random", 8, resamples=50)
    assert same[0].loss == pytest.approx(same[1].loss, abs=0.02), "no model before ten draws"


def test_luck_that_chose_does_not_judge():
    """No architecture is better than another: whoever picks the least of many gets the mean."""
    effects, noise = np.zeros(96), 0.01
    table = frame(effects, noise=noise)
    found = Replayer(table).replay("random", 64, resamples=1000)
    least = table["loss"].min()
    assert least < 0.48 and found.loss > 0.49
    drawn = Replayer(table).replay("random", 1, resamples=1000)
    assert drawn.loss == pytest.approx(0.5, abs=3 * noise / np.sqrt(64))


def test_an_architecture_trained_once_is_judged_by_its_prediction():
    table = frame(EFFECTS, noise=0.002)
    once = table[(table["seed"] == 0) | (table["architecture"] < "a024")]
    once.attrs = table.attrs
    known = without_seed_effects(once)
    expected = best_predictions(known["loss"].tolist(), known["architecture"].tolist())
    replayer = Replayer(once)
    for name, truths in zip(replayer.names, replayer._truths, strict=True):
        if name >= "a024":
            assert truths == pytest.approx([expected[name]])
        else:
            own = known[known["architecture"] == name].sort_values("seed")["loss"].tolist()
            assert truths == pytest.approx(own[::-1]), "each by the other seed"


def test_fresh_seeds_judge_too():
    groups = {"best": ["a000", "a001"], "random": ["a002", "a003"]}
    table = frame(EFFECTS, noise=0.002, seeds=1, groups=groups)
    replayer = Replayer(table)
    level = without_seed_effects(table)
    fresh = level[(level["stage"] == "fresh") & (level["architecture"] == "a001")]["loss"]
    assert replayer._truths[replayer.names.index("a001")] == pytest.approx([fresh.mean()])


def test_draws_within_a_budget(replayer):
    one = replayer.replay("random", 1, resamples=100).cost
    for name in ("random", "halving", "tpe"):
        draws = replayer.draws_within(name, 10 * one)
        assert replayer.replay(name, draws, resamples=100).cost <= 10 * one
        assert draws == len(OPEN) or (
            replayer.replay(name, draws + 1, resamples=100).cost > 10 * one
        )
    assert replayer.draws_within("halving", 10 * one) > 2 * replayer.draws_within(
        "random", 10 * one
    )
    assert replayer.draws_within("random", one / 10) == 0


def test_the_same_again_and_what_is_refused(table, replayer):
    for name in ("random", "halving", "tpe"):
        first, second = (replayer.replay(name, 12, resamples=20, seed=4) for _ in range(2))
        assert first.losses.tolist() == second.losses.tolist()
    with pytest.raises(ConfigError, match="must be one of random, halving, tpe"):
        replayer.replay("grid", 3)
    for draws in (0, len(OPEN) + 1):
        with pytest.raises(ConfigError, match="draws"):
            replayer.replay("random", draws)
    with pytest.raises(DataError, match="must have the columns curve_a"):
        Replayer(table.drop(columns="curve_a"))
    uneven = table.copy()
    uneven.at[0, "at"] = [1.0]
    with pytest.raises(DataError, match="judged at the same epochs"):
        Replayer(uneven)


def test_a_training_that_could_not_be_judged_on_b_is_never_picked():
    """NaN was numpy's least."""
    table = frame(np.linspace(0, 0.05, 24), noise=1e-9)
    last = table["architecture"] == table["architecture"].max()
    found = Replayer(table.assign(loss_b=table["loss_b"].mask(last)))
    assert found.replay("random", len(found.names), resamples=5).loss == pytest.approx(0.5)


def test_every_architecture_has_a_price():
    table = frame(np.linspace(0, 0.05, 24))
    for prices in ({"a000": 1.0}, dict.fromkeys(table["architecture"], float("nan"))):
        with pytest.raises(DataError, match="must be a finite price above 0 of every architecture"):
            Replayer(table, prices)
    with pytest.raises(ConfigError, match="resamples: must be at least 1"):
        Replayer(table).replay("random", 1, resamples=0)
