"""A model beside the constant: figures against NumPy and scikit-learn, the interval against
resampled rows and users.
"""

import json
from dataclasses import asdict

import numpy as np
import pytest
from scipy.special import expit, log_softmax
from sklearn.metrics import log_loss

from automtl.data.store.schema import Task
from automtl.training.metrics._metrics import evaluate_task
from automtl.training.metrics.evaluation import Evaluation, Predictions, evaluate

TASKS = (
    Task(name="click", kind="binary", weight=2.0, constant=(-1.5,)),
    Task(
        name="kind", kind="multiclass", classes=3, constant=tuple(np.log([0.5, 0.3, 0.2]).tolist())
    ),
    Task(name="total", kind="regression", mean=3.0, std=2.0, constant=(0.25,)),
)


def judged(
    rows: int = 4000, noise: float = 1.0, weighted: bool = True, seed: int = 0
) -> tuple[Predictions, np.ndarray]:
    """Predictions that know something, labels with holes, weights, and users of some 5 rows whose
    losses are alike.
    """
    g = np.random.default_rng(seed)
    users = g.integers(0, rows // 5, rows)
    own = g.normal(size=rows)[users]
    click = (g.random(rows) < expit(own - 1.5)).astype(float)
    kind = g.choice(3, rows, p=[0.5, 0.3, 0.2]).astype(float)
    total = 3 + 2 * (own + g.normal(size=rows))
    labels = np.column_stack([click, kind, total]).astype(np.float32)
    labels[g.random(labels.shape) < 0.2] = np.nan
    logits = [
        own - 1.5 + noise * g.normal(size=rows),
        noise * g.normal(size=(rows, 3)),
        own + noise * g.normal(size=rows),
    ]
    weights = g.gamma(2, 1, labels.shape).astype(np.float32) if weighted else None
    return Predictions(
        [part.astype(np.float32) for part in logits], labels, weights, np.arange(rows)
    ), users


def elements(
    predictions: Predictions, t: int, constant: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The loss of each labelled row by NumPy, its weight, and its number."""
    labels = predictions.labels[:, t].astype(float)
    there = np.flatnonzero(~np.isnan(labels))
    z, y = predictions.logits[t][there].astype(float), labels[there]
    z = (
        np.broadcast_to(np.array(TASKS[t].constant if t == 1 else TASKS[t].constant[0]), z.shape)
        if constant
        else z
    )
    losses = {
        0: lambda: -(y * np.log(expit(z)) + (1 - y) * np.log(expit(-z))),
        1: lambda: -log_softmax(z, axis=1)[np.arange(len(y)), y.astype(int)],
        2: lambda: (z - (y - 3) / 2) ** 2,
    }[t]()
    weights = (
        np.ones(len(y))
        if predictions.weights is None
        else predictions.weights[there, t].astype(float)
    )
    return losses, weights, there


@pytest.mark.parametrize("weighted", [False, True])
def test_figures_against_numpy_and_scikit_learn(weighted: bool) -> None:
    predictions, _ = judged(weighted=weighted)
    found = evaluate(predictions, TASKS)
    whole = 0.0
    for t, (task, share) in enumerate(zip(TASKS, (0.5, 0.25, 0.25), strict=True)):
        (theirs, weights, there), (mine, _, _) = (
            elements(predictions, t, True),
            elements(predictions, t, False),
        )
        constant, model = np.average(theirs, weights=weights), np.average(mine, weights=weights)
        gap = found.constant["tasks"][task.name]
        assert gap["loss"] == pytest.approx(constant, rel=1e-12)
        assert gap["difference"] == pytest.approx(model - constant, abs=1e-12)
        whole += share * constant
        if t == 0:
            p = np.full(len(there), expit(-1.5))
            assert gap["loss"] == pytest.approx(
                log_loss(predictions.labels[there, 0], p, sample_weight=weights), rel=1e-9
            )
    assert found.constant["total"]["loss"] == pytest.approx(whole, rel=1e-12)
    assert found.constant["total"]["difference"] == pytest.approx(found.loss - whole, abs=1e-12)


def test_the_constants_metrics_are_those_of_equal_scores() -> None:
    predictions, users = judged()
    found = evaluate(predictions, TASKS, groups=users).constant["metrics"]
    for t, task in enumerate(TASKS):
        same = np.broadcast_to(
            np.array(task.constant if t == 1 else task.constant[0], np.float32),
            predictions.logits[t].shape,
        )
        metrics = evaluate_task(
            task, same, predictions.labels[:, t], predictions.weights[:, t], users
        )
        assert found[task.name] == pytest.approx(
            {name: metrics[name] for name in found[task.name]}, rel=1e-6
        )
    assert [sorted(metrics) for metrics in found.values()] == [["auc", "gauc"], ["auc"], ["rmse"]]


@pytest.mark.parametrize("by_user", [False, True])
def test_the_interval_is_that_of_resampled_units(by_user: bool) -> None:
    predictions, users = judged(2000)
    found = evaluate(predictions, TASKS, groups=users if by_user else None).constant
    names = users if by_user else np.arange(2000)
    g, units = np.random.default_rng(1), names.max() + 1
    sums = []
    for t in range(3):
        (theirs, weights, there), (mine, _, _) = (
            elements(predictions, t, True),
            elements(predictions, t, False),
        )
        parts = (weights * (mine - theirs), weights)
        sums.append([np.bincount(names[there], weights=part, minlength=units) for part in parts])
    drawn = np.stack(
        [np.bincount(g.integers(0, units, units), minlength=units) for _ in range(3000)]
    )
    differences = [(drawn @ gaps) / (drawn @ weights) for gaps, weights in sums]
    differences.append(0.5 * differences[0] + 0.25 * differences[1] + 0.25 * differences[2])
    for values, gap in zip(differences, [*found["tasks"].values(), found["total"]], strict=True):
        low, high = np.quantile(values, [0.025, 0.975])
        assert (gap["low"], gap["high"]) == pytest.approx((low, high), abs=0.08 * (high - low))


def test_rows_of_one_user_tell_what_one_row_tells() -> None:
    predictions, _ = judged(500)
    fourfold = Predictions(
        [np.repeat(part, 4, axis=0) for part in predictions.logits],
        np.repeat(predictions.labels, 4, axis=0),
        np.repeat(predictions.weights, 4, axis=0),
        np.arange(2000),
    )
    once, again = (
        evaluate(predictions, TASKS).constant,
        evaluate(fourfold, TASKS, groups=np.repeat(np.arange(500), 4) + 7).constant,
    )
    assert again["total"] == pytest.approx(once["total"])
    alone = evaluate(fourfold, TASKS).constant["total"]
    assert alone["high"] - alone["low"] < 0.55 * (once["total"]["high"] - once["total"]["low"])


@pytest.mark.parametrize(
    ("noise", "verdicts"),
    [(0.0, ["better", "worse", "better"]), (3.0, ["worse", "worse", "worse"])],
)
def test_verdicts(noise: float, verdicts: list[str]) -> None:
    found = evaluate(judged(noise=noise)[0], TASKS).constant
    assert [gap["verdict"] for gap in found["tasks"].values()] == verdicts
    for gap in [*found["tasks"].values(), found["total"]]:
        assert gap["verdict"] == (
            "worse" if gap["low"] > 0 else "better" if gap["high"] < 0 else "not shown"
        )


def constant_itself(rows: int, shift: float = 0.0) -> Evaluation:
    labels = (np.arange(rows) % 5 == 0).astype(np.float32)[:, None]
    return evaluate(
        Predictions([np.full(rows, -1.5 + shift, np.float32)], labels, None, np.arange(rows)),
        TASKS[:1],
    )


def test_a_model_that_is_the_constant_is_not_shown_to_be_better() -> None:
    found = constant_itself(1000).constant
    assert found["total"]["difference"] == 0
    assert found["total"]["verdict"] == "not shown"
    # by rounding of its float32 alone
    assert constant_itself(1000, 1e-7).constant["total"]["verdict"] == "not shown"


def test_a_single_row_shows_nothing() -> None:
    found = constant_itself(1, 1.0).constant["total"]
    assert (found["low"], found["high"], found["verdict"]) == (None, None, "not shown")
    assert found["difference"] != 0


def test_tasks_without_labels_and_without_rates() -> None:
    predictions, _ = judged(300)
    predictions.labels[:, 2] = np.nan
    found = evaluate(predictions, TASKS)
    assert found.constant["tasks"]["total"] is None
    assert found.loss is None and found.constant["total"] is None, (
        "of a part of the tasks alone it would be another sum"
    )
    unknown = (TASKS[0].model_copy(update={"constant": ()}), *TASKS[1:])
    found = evaluate(predictions, unknown)
    assert found.constant["tasks"]["click"] is None
    assert found.constant["tasks"]["kind"] is not None
    assert found.constant["total"] is None, "of a part of the tasks alone it would be another sum"


def test_it_is_plain_json() -> None:
    found = evaluate(judged(300)[0], TASKS)
    assert json.loads(json.dumps(asdict(found)))["constant"] == found.constant
