"""What a seed adds to all architectures alike does not judge one of them."""

import numpy as np
import pytest

from automtl.benchmarks import Replayer, gain, judge_order
from automtl.benchmarks._seeds import seed_effects, without_seed_effects
from automtl.benchmarks.gain import marks
from automtl.errors import DataError
from tests.benchmarks.tables import frame

EFFECTS = np.random.default_rng(2).permutation(np.arange(48) / 1000)
OPEN = [i for i in range(48) if (i // 2) % 3 != 2]
BEST = [f"a{i:03}" for i in sorted(OPEN, key=EFFECTS.__getitem__)[:8]]
RANDOM = [f"a{i:03}" for i in OPEN[4:12]]
ADDED = {0: 0.004, 1: -0.003, 2: 0.001, 3: -0.002, 4: 0.001}  # the fresh ones' mean is 0


def added(table, effects):
    other = table.assign(loss=table["loss"] + table["seed"].map(effects))
    other.attrs = table.attrs
    return other


def uneven(effects=EFFECTS, **settings):
    """A table whose second half has one seed only, as half of a real one's."""
    table = frame(effects, groups={"best": BEST, "random": RANDOM}, **settings)
    once = table[(table["seed"] != 1) | (table["architecture"] < "a024")].reset_index(drop=True)
    once.attrs = table.attrs
    return once


def test_without_noise_the_effects_are_found():
    assert seed_effects(added(uneven(noise=0.0), ADDED)) == pytest.approx(ADDED)
    plain = frame(EFFECTS, noise=0.0)
    assert seed_effects(added(plain, {0: 0.01, 1: 0.02})) == pytest.approx({0: -0.005, 1: 0.005})


def test_no_judgement_changes_by_what_a_seed_adds():
    """To the last figures, whatever the noise: what a search sees stays, and so does G."""
    table = uneven(noise=0.003)
    scores = table.groupby("architecture")["loss_b"].mean().to_dict()
    derived = {s: {2: 0.51 + s / 1000, 4: 0.512} for s in range(10)}
    moved = {s: {q: loss + ADDED[q] for q, loss in of.items()} for s, of in derived.items()}
    told = []
    for one, made in ((table, derived), (added(table, ADDED), moved)):
        levels = marks(one)
        replayed = [
            levels.gain(Replayer(one).replay(name, 12, resamples=50).loss)
            for name in ("random", "halving", "tpe")
        ]
        tau = judge_order([scores], one, resamples=20).tau
        told.append([levels.gain(levels.interaction), *gain(made, one).values, tau, *replayed])
    assert told[0] == pytest.approx(told[1], abs=1e-9)


def test_g_is_unbiased_where_seeds_differ_and_was_not():
    """Known architectures, seeds and noise; stratum "skip", of the odd ones, made the best."""
    effects = EFFECTS - 0.01 * (np.arange(48) % 2)
    best, random, skip = (
        0.5 + effects[numbers].mean()
        for numbers in ([int(a[1:]) for a in BEST], [int(a[1:]) for a in RANDOM], OPEN[1::2])
    )
    mended, before = [], []
    for seed in range(40):
        table = added(uneven(effects, seed=seed, noise=0.002), ADDED)
        levels = marks(table)
        mended.append(levels.gain(levels.interaction))
        first = table[(table["stage"] == "table") & (table["stratum"] == "skip")]
        before.append(levels.gain(first.groupby("architecture")["loss"].mean().mean()))
    true, error = (random - skip) / (random - best), np.std(mended, ddof=1) / np.sqrt(40)
    assert np.mean(mended) == pytest.approx(true, abs=3 * error)
    assert abs(np.mean(before) - true) > 10 * error


def test_what_was_chosen_for_its_luck_does_not_tell_what_a_seed_adds():
    """No architecture is better and no seed adds anything: the luckiest look worse afterwards."""
    found, lucky = [], []
    for i in range(30):
        table = frame(np.zeros(48), seed=i, noise=0.01)
        least = table.groupby("architecture")["loss_b"].mean().nsmallest(8).index.tolist()
        groups = {"best": least, "random": RANDOM}
        both = frame(np.zeros(48), seed=i, noise=0.01, groups=groups)
        found.append(seed_effects(both)[0])
        both.attrs["groups"] = {"best": RANDOM, "random": least}
        lucky.append(seed_effects(both)[0])
    error = np.std(found, ddof=1) / np.sqrt(30)
    assert abs(np.mean(found)) < 4 * error and np.mean(lucky) < -4 * error


def test_seeds_of_which_nothing_is_known():
    table = uneven(noise=0.001)
    failed = table["architecture"].isin(RANDOM) & (table["seed"] == 3)
    half = table.assign(loss=table["loss"].mask(failed))
    half.attrs = table.attrs
    level = without_seed_effects(half)
    assert level["loss"].isna().sum() == (table["seed"] == 3).sum(), "the best's are left out, too"
    apart = table.assign(seed=table["seed"] + 10 * (table["architecture"] < "a024"))
    with pytest.raises(DataError, match="must have seeds that share architectures.*got 2 parts"):
        seed_effects(apart)
    with pytest.raises(DataError, match="must hold trained architectures, got none"):
        seed_effects(table.assign(loss=np.nan))
