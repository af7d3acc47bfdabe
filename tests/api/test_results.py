"""Results act: networks, answers, judgements, pictures; and they are found again on disk."""

import re

import pandas as pd
import pytest
import torch

import automtl
from automtl.errors import ArtifactError, ConfigError
from tests.api.shop import BRIEF, DARTS, SPACE


def test_a_search_tells_and_draws(found, tmp_path):
    assert found.state == "done" and len(found.architecture.experts) == 4
    assert found.history["epoch"].tolist() == [0, 1]
    assert {"loss.click", "loss.total", "b.loss", "entropy"} <= set(found.history.columns)
    found.plot(path=tmp_path / "a.svg")
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()
    assert "--" not in " ".join(found.remarks) and found.decided in repr(found)
    assert "<img" in found._repr_html_()


def test_models_are_a_sequence_as_the_list_was(models):
    assert len(models) == 2 and [m.seed for m in models] == [0, 1]
    assert [r.folder.path.name for r in models] == ["selected-s0", "selected-s1"]
    assert models[-1].seed == 1 and models[:1].labels == ["selected-s0"]
    least = min(m.validation.loss for m in models)
    assert models.best.validation.loss == least and models.best.label in models.headline()


def test_the_network_answers_as_predict_does(models, data, rows):
    model, schema = models[0], data.schema
    assert not model.net.training and model.net is model.net
    answers = model.predict(rows)
    user, price = (schema.fields[0], schema.fields[1])
    words = data.store.vocabulary("user")["word"].to_pylist()
    ids = {word: i for i, word in enumerate(words)}
    inputs = next(data.batches("train", 4).epoch(0)).inputs
    from automtl.data.store.batches import Inputs

    offset = user.vocabulary_size - len(words)
    of = torch.tensor([[ids[str(u)] + offset] for u in rows.user[:5]], dtype=inputs.ids.dtype)
    dense = torch.tensor(((rows.price[:5] - price.mean) / price.std).to_numpy()[:, None])
    with torch.no_grad():
        click, _ = model.net(Inputs(of, dense.float()))
    assert torch.sigmoid(click).numpy() == pytest.approx(answers.probs_click[:5], abs=1e-5)


def test_rows_to_predict_come_in_any_form(models, rows):
    model, wanted = models[0], models[0].predict(rows.iloc[[7]]).to_numpy()
    row = rows.iloc[7].to_dict()
    for form in (row, [row], {k: [v] for k, v in row.items()}):
        assert model.predict(form).to_numpy() == pytest.approx(wanted, abs=1e-6)
    kept = models.predict(rows.set_index(rows.index + 5), keep=["user"])
    assert kept.columns.tolist() == ["user", "probs_click", "probs_buy"] and kept.index[0] == 5
    pd.testing.assert_frame_equal(automtl.predict(models, rows), models.best.predict(rows))


def test_the_history_is_the_runs_own(models):
    history = models.history
    assert history.groupby("seed").size().tolist() == [2, 2]
    best = history[history.seed == 0]["validation.loss"].min()
    assert best == pytest.approx(models[0].validation.loss, abs=1e-9)
    assert not [c for c in history.columns if ".tasks." in c]


def test_pictures(models, tmp_path):
    models.plot(path=tmp_path / "all.png")
    models[0].plot("architecture", tmp_path / "one.pdf")
    assert (tmp_path / "all.png").stat().st_size > 1000 and (tmp_path / "one.pdf").exists()
    with pytest.raises(ConfigError, match="plot"):
        models[0].plot("nothing")


def test_test_rows_are_counted_and_compared(found, models, data, home, tmp_path):
    plain = automtl.retrain("shared_bottom", data, seeds=[0, 1], out=tmp_path / "plain", **BRIEF)
    before = automtl.compare(models, plain)
    assert before.title.startswith("validation")
    first = automtl.evaluate(models, plain)
    assert first.frame["model"].tolist() == ["mine: selected", "plain: shared_bottom", "constant"]
    seeds = first.details["seeds"]
    assert seeds["test_reads"].tolist() == [1, 1, 1, 1] and len(seeds) == 4
    mean = seeds[seeds.model == "mine: selected"]["MTL-Loss"].mean()
    assert first.frame["MTL-Loss"][0] == pytest.approx(mean)
    assert models[0].evaluate().details["seeds"]["test_reads"].item() == 2
    after = automtl.compare(models, str(tmp_path / "plain"))
    assert after.title.startswith("test") and set(after.frame["model"]) == set(first.frame["model"])
    assert len(after.sentences) >= 2 and after.frame["MTL-Loss"].notna().all()
    assert "constant" in repr(after) and "<table" in after._repr_html_()
    assert "--" not in "\n".join(repr(after).splitlines()[5:])
    page = automtl.report(found, plain, path=tmp_path / "report.html", importance=2)
    assert "shared_bottom" in page.read_text()
    with pytest.raises(ConfigError, match="^importance_rows: must come with importance, got 100"):
        automtl.report(plain, path=tmp_path / "none.html", importance_rows=100)


def test_what_cannot_be_asked_of_models(models, rows, data, tmp_path):
    for few in (1, 39):
        with pytest.raises(ConfigError, match=f"^bootstrap: must be 0, or at least 40.*got {few}"):
            models.evaluate(bootstrap=few)
    for wrong in (50.5, "100", True, -3):
        with pytest.raises(
            ConfigError, match="^bootstrap: must be a whole number, at least 0, got"
        ):
            models.evaluate(bootstrap=wrong)
    clash = rows.head(2).assign(probs_click=1.0)
    with pytest.raises(ConfigError, match="^keep: must not have the name of a prediction"):
        models.predict(clash, keep=["probs_click"])
    for empty in ([], rows.head(0)):
        with pytest.raises(ConfigError, match="^rows: must have rows to predict on, got none"):
            models.predict(empty)
    for seeds, said in (([1, 0, 1], "must differ, got 1 twice"), (3, "must be a list of seeds")):
        with pytest.raises(ConfigError, match=f"^seeds: {said}"):
            automtl.retrain("shared_bottom", data, seeds=seeds, out=tmp_path / "new", **BRIEF)
        assert not (tmp_path / "new").exists(), "nothing is left half done"


def test_exports(models, rows, tmp_path):
    served = models.export(tmp_path / "served", format="python")
    assert (served.path / "model.py").exists()
    with pytest.raises(ConfigError, match=r"^format: must be one of .*did you mean 'onnx'"):
        models.export(tmp_path / "x", format="onx")
    with pytest.raises(
        ArtifactError, match="must not exist yet, got an existing one; choose another out"
    ):
        models[0].export(tmp_path / "served", format="python")


def test_a_run_is_opened_again(found, models, tmp_path):
    again = automtl.open(found.run)
    assert again.architecture == found.architecture and again.decisions == found.decisions
    assert again.models.labels[:2] == models.labels
    one = automtl.open(models[1].folder.path)
    assert (
        one.validation.loss == models[1].validation.loss
        and one.best_epochs == models[1].best_epochs
    )
    assert automtl.open(found.run / "search").epochs == 2
    with pytest.raises(ArtifactError, match="must be a run folder"):
        automtl.open(tmp_path / "none")


def test_what_has_not_ended_is_not_opened(data, home, tmp_path):
    def stop(epoch, figures):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        automtl.search(
            data, space=SPACE, out=tmp_path / "run", search=DARTS, callbacks=[stop], **BRIEF
        )
    with pytest.raises(
        ArtifactError, match=r"search that has ended, got interrupted; go on with resume=True"
    ):
        automtl.open(tmp_path / "run")


def test_the_supernets_order_and_the_front_of_cost(found, data, tmp_path):
    ranking = automtl.rank(found, samples=3)
    assert ranking.frame.shape == (3, 2) and "tau" in ranking.sentences[0]
    assert ranking.frame["alone"].tolist() == list(ranking.source.alone)
    front = automtl.pareto(found, points=3)
    assert front.frame["flops"].is_monotonic_increasing and len(front) >= 1
    smallest = front.source[0].architecture
    [again] = automtl.retrain(smallest, data, out=tmp_path / "small", **BRIEF)
    assert again.architecture == smallest


def test_an_architecture_shows_itself(found, data, tmp_path):
    mmoe = automtl.Architecture.load("mmoe")
    assert "<img" in mmoe._repr_html_() and "mmoe" in repr(mmoe) and len(repr(mmoe)) < 200
    figure = automtl.show(found, path=tmp_path / "f.svg")
    assert figure.axes and (tmp_path / "f.svg").exists()
    assert automtl.show("mmoe", data=data).axes
    with pytest.raises(ConfigError, match="what: must be architecture or alphas"):
        automtl.show(found, "beta")


def test_a_study(data, home, tmp_path):
    study = automtl.tune(data, space=SPACE, trials=2, out=tmp_path / "study", **BRIEF)
    assert study.frame["state"].tolist() == ["complete", "complete"]
    assert "best" in study.frame["named"].str.cat(sep=", ")
    told = " | ".join(study.sentences)
    assert "single trainings of one seed do not tell trials apart" in told
    constant = re.search(r"the constant: validation MTL-Loss (\d\.\d{5})", told)
    assert float(constant[1]) == pytest.approx(study.source.constant, abs=1e-5)
    worse = study.source.findings[study.source.named["best"]].loss >= study.source.constant
    assert ("no trial is better than the constant" in told) is worse
    head = (study.source.folder.path / "best.yaml").read_text().splitlines()
    assert head[: len(study.source.remarks)] == [f"# {line}." for line in study.source.remarks]
    with pytest.raises(
        ConfigError, match='source: must be a search, or its folder, for over="sharing"'
    ):
        automtl.tune(data, over="sharing")
    with pytest.raises(ConfigError, match="source: must be a data set"):
        automtl.tune(automtl.search(data, space=SPACE, out=tmp_path / "s", **BRIEF))
