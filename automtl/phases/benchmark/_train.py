"""One training of a table: an architecture with one seed becomes a row, and a test row where test
figures are due.
"""

import math
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from automtl.data.store.batches import Batches
from automtl.data.store.schema import Task
from automtl.data.store.slices import groups
from automtl.errors import NumericalError
from automtl.models.cost import cost
from automtl.phases.benchmark._rows import JUDGES, TableRows
from automtl.phases.run.alone import Model, constant_predictions
from automtl.phases.run.session import Session
from automtl.spaces.architecture import Architecture
from automtl.training.metrics.evaluation import Evaluation, evaluate, predict

FRACTIONS = (0.125, 0.25, 0.5)  # of the first epoch; then every whole epoch

Row = dict[str, Any]


@dataclass
class Curve:
    """Losses on the way.

    Attributes:
        at: epochs trained, 0.125 to the last.
        losses: per judge the MTL-Loss, and per judge and task ("b.click") its own.
        best: the whole epoch with the least MTL-Loss on B.
        weights: as they stood then.
    """

    at: list[float] = field(default_factory=list)
    losses: dict[str, list[float | None]] = field(default_factory=dict)
    best: int = 0
    weights: dict[str, Any] = field(default_factory=dict)


def train(
    architecture: Architecture, rows: TableRows, *, seed: int, test: bool
) -> tuple[Row, Row | None]:
    """Train one architecture and judge it.

    Args:
        architecture: bound to the data.
        rows: of which roles.
        seed: of weights, order and noise.
        test: read the test rows at the end, with the epoch that was picked.

    Returns:
        What came of it, and the figures on test rows where asked for. A training whose numbers are
        not finite has a row that says so.
    """
    begun, used = time.monotonic(), time.process_time()
    model = Model(architecture, rows.session, seed)
    count = cost(model.net, rows.session.schema)
    size = {
        "flops": count.flops_per_row,
        "parameters": count.table_parameters + count.other_parameters,
    }
    size["table_parameters"] = count.table_parameters
    try:
        curve = _train(model, rows)
        model.finish(curve.weights)
        validation = judge(model, rows, "validation")
    except NumericalError as error:
        failed: Row = {"epoch": None, "loss": None, "loss_b": None, "error": str(error)[:300]}
        return {**failed, **size, **_spent(begun, used)}, None
    row: Row = {
        "epoch": curve.best,
        "loss": validation.loss,
        "loss_b": min(whole_epochs(curve, "b")),
        "error": "",
    }
    row |= flat(validation) | size | _spent(begun, used) | {"at": curve.at}
    row |= {f"curve_{name}": values for name, values in curve.losses.items()}
    return row, _tested(model, rows.session) if test else None


def whole_epochs(curve: Curve, judge_name: str) -> list[float]:
    """The MTL-Losses of a judge after each whole epoch."""
    pairs = zip(curve.at, curve.losses[judge_name], strict=True)
    return [loss for at, loss in pairs if at >= 1 and loss is not None]


def _train(model: Model, rows: TableRows) -> Curve:
    """Train for all epochs, judging at every mark."""
    epochs, batches = rows.settings.epochs, rows.training(model.seeds.fit)
    marks = {max(1, round(f * len(batches))): f for f in FRACTIONS if len(batches) > 1}
    curve, least = Curve(), math.inf
    for epoch in range(epochs):
        for step, batch in enumerate(batches.epoch(epoch)):
            model.step(
                batch.to(rows.session.device),
                epoch=epoch,
                step=step,
                steps=len(batches),
                epochs=epochs,
            )
            if epoch == 0 and step + 1 in marks and step + 1 < len(batches):
                _mark(curve, marks[step + 1], model, rows)
        loss = _mark(curve, epoch + 1, model, rows)
        if loss < least:
            least, curve.best = loss, epoch + 1
            curve.weights = model.weights()
    return curve


def _mark(curve: Curve, at: float, model: Model, rows: TableRows) -> float:
    """Judge by all judges; the loss on B.

    Raises:
        NumericalError: a loss is not finite.
    """
    judged = {name: judge(model, rows, name) for name in JUDGES}
    curve.at.append(float(at))
    for name, evaluation in judged.items():
        if evaluation.loss is None or not math.isfinite(evaluation.loss):
            got = "none: a task has no label there" if evaluation.loss is None else evaluation.loss
            raise NumericalError(
                f"epoch {at:g}", f"the MTL-Loss on {name} rows must be finite", got
            )
        curve.losses.setdefault(name, []).append(evaluation.loss)
        for task, loss in evaluation.losses.items():
            if name != "a" and len(evaluation.losses) > 1:
                curve.losses.setdefault(f"{name}.{task}", []).append(loss)
    least = judged["b"].loss
    assert least is not None
    return least


def judge(model: Model, rows: TableRows, name: str) -> Evaluation:
    """The model on a judge's rows."""
    return _evaluated(
        model,
        rows.judging(name),
        rows.session,
        rows.judges[name][0] if name == "validation" else None,
    )


def _evaluated(model: Model, batches: Batches, session: Session, split: str | None) -> Evaluation:
    predictions = predict(model.net, batches, device=session.device)
    users = groups(session.store, split, predictions.rows) if split else None
    return evaluate(predictions, session.schema.tasks, groups=users)


def flat(evaluation: Evaluation) -> Row:
    """Metrics as columns, ``<task>.<metric>``."""
    return {
        f"{task}.{name}": value
        for task, metrics in evaluation.tasks.items()
        for name, value in metrics.items()
    }


def _tested(model: Model, session: Session) -> Row:
    test = _evaluated(model, session.in_order("test"), session, "test")
    return {"loss": test.loss, **flat(test)}


def _spent(begun: float, used: float) -> Row:
    return {"seconds": time.monotonic() - begun, "cpu_seconds": time.process_time() - used}


def constant(rows: TableRows) -> tuple[Row, Row]:
    """The rows of a model that knows the fit rows' base rates and nothing else (regression: their
    mean).
    """
    session = rows.session
    training = session.store.rows("train")
    labels, weights = (
        training.labels[rows.fit],
        None if training.weights is None else training.weights[rows.fit],
    )
    logits = [
        _base_rate(task, labels[:, t], None if weights is None else weights[:, t])
        for t, task in enumerate(session.schema.tasks)
    ]

    def judged(split: str, index: np.ndarray) -> Evaluation:
        data = session.store.rows(split)
        own = None if data.weights is None else np.asarray(data.weights[index])
        predictions = constant_predictions(logits, np.asarray(data.labels[index]), own, index)
        return evaluate(predictions, session.schema.tasks)

    validation, b = (judged(*rows.judges[name]) for name in ("validation", "b"))
    test = judged("test", np.arange(len(session.store.rows("test"))))
    nothing = {
        "flops": 0,
        "parameters": 0,
        "table_parameters": 0,
        "seconds": 0.0,
        "cpu_seconds": 0.0,
    }
    row = {
        "epoch": None,
        "loss": validation.loss,
        "loss_b": b.loss,
        "error": "",
        **flat(validation),
        **nothing,
    }
    return row, {"loss": test.loss, **flat(test)}


def _base_rate(task: Task, labels: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """The output of a task's best constant on some rows: a logit, the logs of shares, or a mean in
    standardised units.
    """
    known = ~np.isnan(labels)
    weight = known.astype(float) if weights is None else np.where(known, weights, 0.0)
    values, whole = np.where(known, labels, 0.0).astype(float), max(float(weight.sum()), 1e-12)
    if task.kind == "regression":
        return np.array(((weight * values).sum() / whole - task.mean) / task.std)
    if task.kind == "multiclass":
        shares = np.bincount(values.astype(int), weight, minlength=task.classes) / whole
        return np.log(np.clip(shares, 1e-12, None))
    share = float(np.clip((weight * values).sum() / whole, 1e-12, 1 - 1e-12))
    return np.array(math.log(share / (1 - share)))
