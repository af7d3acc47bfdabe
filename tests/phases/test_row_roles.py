"""Which rows a search reads for what: fit rows train, A rows move alpha and score, B rows judge;
validation and test rows are not touched.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from automtl.config import resolve
from automtl.data.store import Store
from automtl.errors import ArtifactError
from automtl.phases.benchmark._rows import TableRows
from automtl.phases.benchmark.settings import TableSettings
from automtl.phases.run.opening import open_session
from automtl.phases.search import search
from automtl.phases.search.context import make_context
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import RunDir
from automtl.runs.status import status
from automtl.training.metrics.evaluation import evaluate, predict
from scripts.small import SEARCH, write_dataset
from tests.phases.stopping import After, stop
from tests.support import Stop, read_settings

FAST = ("search.draws=2", "search.population=3", "search.generations=1", "search.score_rows=null")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("roles"), rows=500)


def config(dataset, *sets):
    flags = {
        "data": {"dir": str(dataset.parent / "cache")},
        "runtime": {"checkpoint_every_steps": 1},
    }
    given = read_settings([*SEARCH, *FAST], sets)
    return resolve(source=str(dataset), space="automtl_small", sets=given, flags=flags)


def test_a_and_b_part_the_alpha_rows_and_a_table_has_the_same(dataset):
    session = open_session(config(dataset))
    fit, a, b = (session.index(role) for role in ("fit", "a", "b"))
    assert sorted(np.concatenate([a, b])) == sorted(session.store.alpha_index)
    assert not set(a) & set(b) and not set(fit) & {*a, *b} and 0.3 < len(a) / len(b) < 3
    judges = TableRows(session, TableSettings()).judges
    assert judges["a"][1].tolist() == sorted(a) and judges["b"][1].tolist() == sorted(b)


@pytest.mark.parametrize(
    "strategy", ["darts", "snas", "gdas", "evolution", "random_search", "random_sampling"]
)
def test_a_search_reads_neither_validation_nor_test_rows(dataset, tmp_path, monkeypatch, strategy):
    honest = Store.rows

    def only_training(self, split):
        assert split == "train", f"a search read {split} rows"
        return honest(self, split)

    open_session(config(dataset))  # prepared by now
    monkeypatch.setattr(Store, "rows", only_training)
    search(config(dataset, f"search.strategy={strategy}"), out=tmp_path / "run")


def test_what_moves_alpha_and_scores_is_a(dataset):
    session = open_session(config(dataset))
    context = make_context(session, session.config.space, session.dropout_generator())
    a = set(session.index("a").tolist())
    for batches in (context.alpha, context.scored):
        read = {int(row) for batch in batches.epoch(0) for row in batch.rows}
        assert read == a
    assert {int(r) for batch in context.fit.epoch(0) for r in batch.rows} == set(
        session.index("fit").tolist()
    )


def test_an_epoch_is_judged_on_b(dataset, tmp_path):
    made = config(dataset)
    search(made, out=tmp_path / "run")
    line = RunDir(tmp_path / "run").search.read_metrics()[-1]
    assert "validation" not in line
    session = open_session(made)
    labels = session.store.rows("train").labels[session.index("b")]
    assert line["b"]["tasks"]["click"]["rows"] == len(labels)
    assert line["b"]["tasks"]["buy"]["rows"] == int((~np.isnan(labels[:, 1])).sum())
    # by hand: the constant's loss on B rows, of the base rates of the training split
    base = [task.base[0] for task in session.schema.tasks]
    losses = [
        np.nanmean(np.logaddexp(0, logit) - labels[:, t] * logit) for t, logit in enumerate(base)
    ]
    assert line["b"]["constant"] == pytest.approx(np.mean(losses), abs=1e-6)
    gap = line["b"]["beside_constant"]
    assert gap["difference"] == pytest.approx(line["b"]["loss"] - line["b"]["constant"], abs=1e-6)
    assert gap["low"] < gap["difference"] < gap["high"]
    [told] = status(tmp_path / "run")
    assert told["last_epoch"]["b_loss"] == line["b"]["loss"]
    manifest = Manifest.read(RunDir(tmp_path / "run").search.manifest).values
    assert manifest["rows"] == {"weights": "fit", "alpha": "A", "judged": "B"}


def test_the_figure_on_b_is_the_supernets(dataset, tmp_path):
    """What the last line tells is what the checkpoint's supernet loses on B rows."""
    from automtl.phases.finished._reopen import reopened

    search(config(dataset), out=tmp_path / "run")
    _, net, session = reopened(
        tmp_path / "run", device="cpu", reporter=After(10**9, stop), needs=("darts",)
    )
    b = session.rows_in_order("train", session.index("b"))
    found = evaluate(predict(net, b), session.schema.tasks)
    line = RunDir(tmp_path / "run").search.read_metrics()[-1]
    assert line["b"]["loss"] == pytest.approx(found.loss, abs=1e-5)


def test_a_search_begun_before_alpha_rows_were_halved_is_not_gone_on_with(dataset, tmp_path):
    made, out = config(dataset), tmp_path / "run"
    with pytest.raises(Stop):
        search(made, out=out, reporter=After(2, stop))
    manifest = Manifest.read(RunDir(out).search.manifest)
    del manifest.values["rows"]
    manifest.write()
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(ArtifactError, match="A rows move alpha and whose B rows decide, got one"):
        search(made, out=out, resume=True)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_search_worse_than_the_constant_says_so(tmp_path):
    from automtl.runs.constant import above

    figures = {"loss": 0.7, "constant": 0.69, "beside_constant": {"verdict": "worse"}}
    assert above({"b": figures}) == (
        "worse than the constant (predicting the training rows' base rates): B MTL-Loss 0.70000 "
        "for 0.69000"
    )
    assert "not better than the constant" in above({"b": {**figures, "beside_constant": None}})
    assert above({"b": {**figures, "loss": 0.6}}) is None
    assert above({"validation": {**figures, "loss": 0.6}}) is None
    assert above(json.loads('{"b": null}')) is None
