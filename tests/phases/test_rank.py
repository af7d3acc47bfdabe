"""Rank correlation between supernet and stand-alone scores."""

import numpy as np
import pytest

from automtl.errors import ArtifactError, ConfigError
from automtl.phases.finished._reopen import reopened
from automtl.phases.finished.rank import rank, regret
from automtl.phases.finished.rank_order import agreement
from automtl.phases.run.reporter import Silent
from automtl.phases.search import search
from automtl.strategies.protocol import make_encoding
from automtl.strategies.score import score
from automtl.strategies.standalone import StandAlone
from automtl.training.metrics.evaluation import evaluate, predict
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
    m, net, session = reopened(tmp_path / "run", device="cpu", reporter=Silent(), needs=("darts",))
    encoding = make_encoding(m)
    genome = encoding.draw(np.random.default_rng([0, 0]))
    encoding.set(net, genome)
    shared = score(net, m.scored, m.schema.tasks, device=m.device, supernet=True)
    assert found.supernet[0] == pytest.approx(shared), "the supernet on alpha rows"
    model = StandAlone(encoding.architecture(genome), m, seed=0, lr=m.options.random_lr)
    list(model.train(m.fit.cycle(), epoch=0, steps=len(m.fit)))
    judged = evaluate(predict(model.net, session.in_order("validation")), m.schema.tasks)
    assert found.alone[0] == pytest.approx(judged.loss, rel=1e-5), "alone on validation rows"
    rows = m.scored.num_rows, len(session.store.rows("validation"))
    assert found.rows == rows and m.scored.num_rows == len(session.index("a")) > 0
    assert found.samples_read == 4 * (m.fit.num_rows + sum(rows))
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
