"""Rank correlation between supernet and stand-alone scores."""

import pytest

from automtl.errors import ArtifactError, ConfigError
from automtl.phases.finished.rank import rank, regret
from automtl.phases.finished.rank_order import agreement
from automtl.phases.search import search
from tests.phases.test_strategies import config
from tests.support import write_dataset


def test_regret_is_what_the_first_choice_loses():
    assert (
        regret([0.3, 0.1, 0.2], [0.5, 0.7, 0.4]) == pytest.approx(0.3)
        and regret([0.1, 0.2], [0.4, 0.5]) == 0.0
    )


def test_a_searched_run_is_ranked_and_others_are_refused(tmp_path):
    dataset = write_dataset(tmp_path / "data")
    search(config(dataset), out=tmp_path / "run")
    found = rank(tmp_path / "run", samples=4, device="cpu")
    assert (
        len(found.supernet) == len(found.alone) == 4
        and len({str(a) for a in found.architectures}) > 1
    )
    orders = agreement(found.supernet, found.alone)
    assert (found.tau, found.interval, found.p) == (
        orders.tau,
        orders.interval,
        orders.p,
    ) and found.regret >= 0
    assert found.interval[1] - found.interval[0] > 0.5, (
        "four samples tell little, in whatever order they are"
    )
    assert rank(tmp_path / "run", samples=4, device="cpu") == found, "the same again"
    with pytest.raises(
        ConfigError, match="--samples: must be at least 2 and at most 10,000, got 1"
    ):
        rank(tmp_path / "run", samples=1)
    search(config(dataset, "search.strategy=random_sampling"), out=tmp_path / "none")
    with pytest.raises(
        ArtifactError,
        match="must be a search by one of darts, snas, gdas, evolution, got random_sampling",
    ):
        rank(tmp_path / "none", samples=2, device="cpu")
