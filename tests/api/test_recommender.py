"""The recommender among scikit-learn's tools, and without them."""

import gc
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import automtl
from automtl.errors import ArtifactError, ConfigError
from tests.api.shop import BRIEF, DARTS, SPACE

GIVEN = {
    "tasks": ["click", "buy"],
    "ids": ["user"],
    "numbers": ["price"],
    "epochs": 1,
    "batch_size": 64,
}
THREAD = {"settings": {"runtime": {"threads": 1}}}


@pytest.fixture(scope="module")
def model(home, rows):
    return automtl.MultiTaskRecommender(**GIVEN, **THREAD).fit(rows)


def test_fit_predict(model, rows):
    proba = model.predict_proba(rows)
    assert proba.columns.tolist() == ["click", "buy"] and proba.index.equals(rows.index)
    assert ((proba > 0) & (proba < 1)).all().all()
    assert model.predict(rows).equals((proba >= 0.5).astype(int))
    assert model.feature_names_in_.tolist() == ["user", "price"] and model.n_features_in_ == 2


def test_the_score_is_the_mean_auc(model, rows):
    from sklearn.metrics import roc_auc_score

    proba = model.predict_proba(rows)
    wanted = np.mean([roc_auc_score(rows[t], proba[t]) for t in ("click", "buy")])
    assert model.score(rows) == pytest.approx(wanted)
    features, labels = rows[["user", "price"]], rows[["click", "buy"]]
    assert model.score(features, labels) == pytest.approx(wanted)
    assert model.score(features, labels.to_numpy()) == pytest.approx(wanted)
    holes = rows.assign(buy=rows.buy.where(rows.index % 3 > 0).astype(object))
    part = rows[rows.index % 3 > 0]
    wanted = np.mean(
        [roc_auc_score(rows.click, proba.click), roc_auc_score(part.buy, proba.buy[part.index])]
    )
    assert model.score(holes) == pytest.approx(wanted)
    assert np.isnan(model.score(rows[rows.click == 0]))


def test_other_kinds_of_tasks(home, rows):
    from sklearn.metrics import accuracy_score, r2_score

    mixed = rows.assign(
        spent=np.log1p(rows.price) * 3 + rows.user,
        tier=rows.user.map(lambda u: f"t{u % 3}"),
        likes=rows.click.map({0: "no", 1: "yes"}),
    )
    tasks = [
        {"name": "spent", "kind": "regression", "transform": "log1p"},
        {"name": "tier", "kind": "multiclass"},
        {"name": "likes", "positive": "yes", "where": "price < 40"},
    ]
    model = automtl.MultiTaskRecommender(
        tasks, ids=["user"], numbers=["price"], epochs=1, batch_size=64, **THREAD
    )
    answers = model.fit(mixed).predict(mixed)
    proba = model.predict_proba(mixed)
    assert proba.columns.tolist() == ["tier=t0", "tier=t1", "tier=t2", "likes"]
    assert proba.iloc[:, :3].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
    assert set(answers.tier) <= {"t0", "t1", "t2"} and answers.likes.isin([0, 1]).all()
    from sklearn.metrics import roc_auc_score

    cheap = mixed.price < 40
    wanted = [
        r2_score(mixed.spent, answers.spent),
        accuracy_score(mixed.tier, answers.tier),
        roc_auc_score(mixed.click[cheap], proba.likes[cheap]),
    ]
    assert model.score(mixed) == pytest.approx(np.mean(wanted), abs=1e-6)


def test_labels_apart_from_the_rows_give_the_same_model(model, rows):
    apart = automtl.MultiTaskRecommender(**GIVEN, **THREAD).fit(
        rows[["user", "price"]], rows[["click", "buy"]]
    )
    assert apart.predict_proba(rows).to_numpy() == pytest.approx(
        model.predict_proba(rows).to_numpy(), abs=1e-6
    )
    with pytest.raises(
        ConfigError, match="y: must have a column for each of click, buy, got 1 column"
    ):
        automtl.MultiTaskRecommender(**GIVEN).fit(rows[["user"]], rows["click"])


def test_labels_of_other_rows_are_no_labels(rows):
    features, labels = rows[["user", "price"]], rows[["click", "buy"]]
    new = automtl.MultiTaskRecommender(**GIVEN)
    for wrong, said in (
        (labels.to_numpy().T, "must have a column for each of click, buy, got 300 columns"),
        (labels[:100], "must have labels for 300 rows, got 100 rows"),
        (labels.to_numpy()[:1], "must have labels for 300 rows, got 1 row"),
        (labels.to_numpy().ravel(), "must have a column for each of click, buy, got 1 column"),
        (labels.to_numpy()[None], "must have a column for each of click, buy, got ndarray"),
        ({"click": [1]}, "must have a column for each of click, buy, got dict"),
    ):
        with pytest.raises(ConfigError, match=f"^y: {said}"):
            new.fit(features, wrong)
    square = automtl.MultiTaskRecommender(["click", "buy"], ids=["user"], numbers=["price"])
    with pytest.raises(ConfigError, match="got 3 columns"):
        square.fit(features[:2], np.zeros((2, 3)))


def test_an_array_of_other_columns_is_no_rows(home, rows):
    whole = rows[["user", "price", "click"]].to_numpy()
    given = {"ids": ["x0"], "numbers": ["x1"], "epochs": 1, "batch_size": 64, **THREAD}
    apart = automtl.MultiTaskRecommender(["click"], **given).fit(whole[:, :2], whole[:, 2])
    inside = automtl.MultiTaskRecommender(["x2"], **given).fit(whole)
    assert inside.predict_proba(whole).equals(inside.predict_proba(whole[:, :2]))
    assert inside.score(whole) == inside.score(whole[:, :2], whole[:, 2]) > 0
    with pytest.raises(
        ConfigError, match=r"of two dimensions of 2 columns, as in fit, got \(300, 3"
    ):
        apart.predict(np.roll(whole, 1, axis=1))
    with pytest.raises(ConfigError, match="of two dimensions of 3 columns, as in fit"):
        inside.predict(np.c_[whole, whole])
    with pytest.raises(ConfigError, match=r"must be an array of two dimensions.* got \(2,\)"):
        apart.predict(whole[0, :2])
    first = automtl.MultiTaskRecommender(["x0"], ids=["x1"], epochs=1, batch_size=64, **THREAD)
    first.fit(np.c_[whole[:, 2], whole[:, :2]])
    with pytest.raises(ConfigError, match="of two dimensions of 3 columns, as in fit"):
        first.predict(whole[:, :2])  # what was x1 would be x0
    with pytest.raises(ConfigError, match="of two dimensions of 3 columns, as in fit"):
        inside.score(np.c_[whole, whole])
    apart.fit(rows.rename(columns={"user": "x0", "price": "x1"}))
    assert apart.predict(whole).shape == (300, 1), "rows of names are no array"


def test_an_estimator_whose_folder_is_gone_says_so(home, rows):
    passing = automtl.MultiTaskRecommender(**GIVEN, **THREAD).fit(rows)
    pickled = pickle.dumps(passing)
    assert pickle.loads(pickled).predict(rows.head(2)).equals(passing.predict(rows.head(2)))
    del passing
    gc.collect()
    with pytest.raises(ArtifactError, match="as long as its estimator.*; give a folder"):
        pickle.loads(pickled).predict(rows)


def test_one_task_and_a_plain_array(home, rows):
    plain = automtl.MultiTaskRecommender(
        ["click"], numbers=["x0", "x1"], epochs=1, batch_size=64, **THREAD
    )
    X = rows[["user", "price"]].to_numpy()
    assert plain.fit(X, rows.click).predict_proba(X).shape == (300, 1)


def test_params(model):
    params = model.get_params()
    assert params["tasks"] is model.tasks and params["architecture"] is None
    assert (
        automtl.MultiTaskRecommender(["a"]).set_params(sharing="ple", seed=3).get_params()["seed"]
        == 3
    )
    with pytest.raises(ConfigError, match="^colour: must be one of tasks, ids"):
        model.set_params(colour="red")
    assert (
        repr(automtl.MultiTaskRecommender(["a"], seed=2))
        == "MultiTaskRecommender(tasks=['a'], seed=2)"
    )


def test_a_space_is_searched(home, rows):
    model = automtl.MultiTaskRecommender(**GIVEN, space=SPACE, settings={**BRIEF, "search": DARTS})
    model.fit(rows)
    assert model.search_.epochs == 2
    assert model.model_.architecture.experts == model.search_.architecture.experts
    with pytest.raises(ConfigError, match="architecture, space: must be given alone"):
        automtl.MultiTaskRecommender(**GIVEN, space=SPACE, architecture="ple").fit(rows)


def test_what_is_kept_and_what_goes(home, rows, tmp_path):
    passing = automtl.MultiTaskRecommender(**GIVEN, **THREAD).fit(rows)
    place = Path(passing.model_.folder.path)
    assert place.exists()
    del passing
    gc.collect()
    assert not place.exists()
    kept = automtl.MultiTaskRecommender(**GIVEN, **THREAD, folder=tmp_path / "fits")
    first = Path(kept.fit(rows).model_.folder.path)
    second = Path(kept.fit(rows).model_.folder.path)
    assert first.exists() and second.exists() and first != second
    assert automtl.open(second).predict(rows).shape == (300, 2)


def test_not_fitted(rows):
    with pytest.raises(ConfigError, match="must be fitted first"):
        automtl.MultiTaskRecommender(["click"]).predict(rows)


def test_clone_pipeline_and_grid(home, rows, model):
    sklearn = pytest.importorskip("sklearn")
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(model)
    fresh = sklearn.clone(model)
    assert fresh.get_params() == model.get_params() and not hasattr(fresh, "model_")
    with pytest.raises(sklearn.exceptions.NotFittedError):
        check_is_fitted(fresh)
    cheaper = FunctionTransformer(lambda frame: frame.assign(price=frame.price / 2))
    pipe = make_pipeline(cheaper, sklearn.clone(model)).fit(rows)
    assert pipe.predict_proba(rows).shape == (300, 2) and 0 < pipe.score(rows) < 1
    grid = GridSearchCV(fresh, {"architecture": ["shared_bottom", "mmoe"]}, cv=2).fit(rows)
    assert grid.best_params_["architecture"] in ("shared_bottom", "mmoe")
    assert np.isfinite(grid.cv_results_["mean_test_score"]).all()
    assert grid.predict(rows.head(3)).shape == (3, 2)
    assert len(cross_val_score(fresh, rows[["user", "price"]], rows[["click", "buy"]], cv=2)) == 2


def test_settings_travel_between_processes(model):
    fresh = automtl.MultiTaskRecommender(**model.get_params())
    assert pickle.loads(pickle.dumps(fresh)).get_params() == fresh.get_params()


def test_the_seed_makes_the_model(home, rows):
    one, two = (
        automtl.MultiTaskRecommender(**GIVEN, **THREAD, seed=5).fit(rows).predict_proba(rows)
        for _ in range(2)
    )
    pd.testing.assert_frame_equal(one, two)
