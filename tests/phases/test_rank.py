"""Rank correlation between supernet and stand-alone scores."""

import numpy as np
import pytest

from automtl.errors import ArtifactError, ConfigError
from automtl.phases.rank import kendall, rank, regret
from automtl.phases.search import search
from tests.phases.test_strategies import config
from tests.support import write_dataset


def test_kendall_by_counting_pairs_and_its_interval():
    rng = np.random.default_rng(3)
    a = rng.normal(size=12)
    b = a + rng.normal(size=12)
    agree = sum(np.sign((a[i] - a[j]) * (b[i] - b[j])) for i in range(12) for j in range(i))
    tau, (low, high) = kendall(list(a), list(b))
    assert tau == pytest.approx(agree / 66) and low < tau < high
    assert kendall([1.0, 2.0, 3.0], [3.0, 2.0, 1.0])[0] == -1 and kendall([1.0, 1.0], [1.0, 2.0]) == (None, None)


def test_regret_is_what_the_first_choice_loses():
    assert regret([0.3, 0.1, 0.2], [0.5, 0.7, 0.4]) == pytest.approx(0.3) and regret([0.1, 0.2], [0.4, 0.5]) == 0.0


def test_a_searched_run_is_ranked_and_others_are_refused(tmp_path):
    dataset = write_dataset(tmp_path / "data")
    search(config(dataset), out=tmp_path / "run")
    found = rank(tmp_path / "run", samples=4, device="cpu")
    assert len(found.supernet) == len(found.alone) == 4 and len({str(a) for a in found.architectures}) > 1
    assert (found.tau, found.interval) == kendall(found.supernet, found.alone) and found.regret >= 0
    assert rank(tmp_path / "run", samples=4, device="cpu") == found, "the same again"
    with pytest.raises(ConfigError, match="--samples: must be at least 2 and at most 10,000, got 1"):
        rank(tmp_path / "run", samples=1)
    search(config(dataset, "search.strategy=random_sampling"), out=tmp_path / "none")
    with pytest.raises(ArtifactError, match="must be a search by one of darts, snas, gdas, evolution, got random_sampling"):
        rank(tmp_path / "none", samples=2, device="cpu")
