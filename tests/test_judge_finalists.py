"""The variance over users of a difference of two models, beside a bootstrap of plain losses."""

import json

import numpy as np
import pytest

import automtl
from automtl.data.store.slices import groups
from automtl.phases.finished.open import load_net, session_of
from automtl.phases.run.reporter import Silent
from automtl.statistics import welch
from scripts import judge_finalists
from tests.api.shop import QUICK, shop


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two seeds of two models of a shop whose users are a group."""
    home = tmp_path_factory.mktemp("finalists")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOMTL_DATA_DIR", str(home / "cache"))
        data = automtl.Dataset.from_frame(
            shop(1200), ids=["user"], numbers=["price"], tasks=["click", "buy"], group="user"
        )
        return [
            automtl.retrain(kind, data, out=home / kind, seeds=range(2), **QUICK)
            for kind in ("shared_bottom", "single_task")
        ]


def row_losses(model):
    """The mean of both tasks' log losses, and the user, of each test row."""
    session = session_of(model.folder, "auto", Silent())
    found = session.predict(load_net(model.folder, session), session.in_order("test"))
    logits, labels = np.stack(found.logits, axis=1).reshape(len(found.rows), 2), found.labels
    losses = np.logaddexp(0, logits) - labels * logits
    return losses.mean(1), groups(session.store, "test", found.rows)


def test_the_interval_covers_users(pair, monkeypatch):
    monkeypatch.setattr(judge_finalists, "MARGINS", {"shop": 0.01})
    told = judge_finalists.judge("shop", "single_task", *pair)
    (own, users), (other, _) = (
        (np.mean([row_losses(model)[0] for model in models], axis=0), row_losses(models[0])[1])
        for models in pair
    )
    assert told["difference"] == pytest.approx((own - other).mean(), abs=1e-6)
    names, rng = np.unique(users), np.random.default_rng(0)
    sums, counts = (np.array([f((own - other)[users == u]) for u in names]) for f in (np.sum, len))
    drawn = rng.integers(0, len(names), (4000, len(names)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    assert told["units"] == len(names)
    assert told["error_of_rows"] == pytest.approx(means.std(), rel=0.1)
    of_seeds = welch(told["finalist"], told["losses"])
    whole = welch(told["finalist"], told["losses"], extra_variance=told["error_of_rows"] ** 2)
    assert told["interval"] == pytest.approx([whole.low, whole.high])
    assert whole.error > of_seeds.error


def test_a_hand_made_model_is_trained_as_it_raced_or_as_published(tmp_path, monkeypatch):
    """Of a race that was not won by it; no name of a scaled model is one that ships."""
    monkeypatch.setattr(judge_finalists, "_search", lambda *_: None)
    folder = tmp_path / "search" / "search"
    folder.mkdir(parents=True)
    race = {"kind": "control", "winner": "control 1", "rival": {"name": "mmoe (scaled)"}}
    (folder / "architecture.json").write_text(json.dumps({"provenance": {"race": race}}))
    run, rival = judge_finalists.searched("shop", tmp_path, False, {})
    assert (run, rival.source) == (tmp_path / "search", folder / "hand_made.json")
    assert (rival.name, rival.published.source) == ("mmoe (scaled)", "mmoe")
    race |= {"kind": "rival", "winner": "ple (scaled)"}
    (folder / "architecture.json").write_text(json.dumps({"provenance": {"race": race}}))
    run, rival = judge_finalists.searched("shop", tmp_path, False, {})
    assert (run, rival.source) == (tmp_path / "search_alone", tmp_path / "search")
    assert (rival.name, rival.published.source) == ("ple (scaled)", "ple")
