"""A model beside the best constant: the training rows' base rates (regression: their mean), on the
very rows that the model is judged on.

Legend: n rows, U units (rows, or the groups that rows come in), w row weights, d = the model's loss
less the constant's, per row.
"""

import math
from typing import Literal, NamedTuple, TypedDict

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from automtl.data.store.schema import Task
from automtl.statistics import LEVEL, ONE_UNIT, equal_units
from automtl.training.losses import row_losses
from automtl.training.metrics._metrics import Metrics

RESOLUTION = 1e-6  # of the constant's loss: what a network's float32 can tell

Verdict = Literal["worse", "not shown", "better"]


class Gap(TypedDict):
    """A loss beside the constant's.

    Attributes:
        loss: the constant's.
        difference: the model's less the constant's.
        low, high: its 95% interval over units; None for fewer than two of them.
        verdict: "worse" where the interval lies above 0, "better" where it lies below, else "not
            shown" (to be better).
    """

    loss: float
    difference: float
    low: float | None
    high: float | None
    verdict: Verdict


class Against(TypedDict):
    """A model beside the constant.

    Attributes:
        total: by MTL-Loss; None where a task's base rates or labels are not there.
        tasks: per task name, by its loss.
        metrics: per task name, the constant's AUC (of equal scores: 1/2) and GAUC, or RMSE.
    """

    total: Gap | None
    tasks: dict[str, Gap | None]
    metrics: dict[str, Metrics]


class RowLosses(NamedTuple):
    """One task's rows. Shape: (n,) float64 each.

    Attributes:
        losses: the model's; of any finite value where the weight is 0.
        labels: NaN where missing.
        weights: 0 where the label is missing.
    """

    losses: Tensor
    labels: Tensor
    weights: Tensor

    @property
    def mean(self) -> float | None:
        """L_k over the rows that have the label; None where none has a weight."""
        whole = float(self.weights.sum())
        return float((self.losses * self.weights).sum()) / whole if whole else None


class Beside:
    """Gathers what tasks lose and what the constant would.

    The difference D = sum(w d) / sum(w) is a mean, so its interval is normal theory's and no row is
    drawn: with e_u the sum of w (d - D) over the rows of unit u, its variance is U / (U - 1) sum_u
    e_u^2 / sum(w)^2 (a ratio's, by linearisation; Cochran 1977, section 6.3), times Student's t
    with U - 1 degrees of freedom, U the `equal_units`. Where units are users, their rows stay
    together. Of the MTL-Loss, e_u is the weighted sum of the tasks'.

    Args:
        rows: n.
        units: (n,) the unit of each row, any whole numbers; None: every row is one.
    """

    def __init__(self, rows: int, units: np.ndarray | None) -> None:
        self._unit = None if units is None else np.unique(units, return_inverse=True)[1]
        self._influence = np.zeros(
            rows if self._unit is None else int(self._unit.max(initial=-1)) + 1
        )
        self._shares = np.zeros(len(self._influence))
        self._loss = self._difference = 0.0
        self.tasks: dict[str, Gap | None] = {}
        self.metrics: dict[str, Metrics] = {}

    def add(self, task: Task, share: float, rows: RowLosses, metrics: Metrics) -> None:
        """Add one task.

        Args:
            task: its kind and base rates.
            share: its weight in the MTL-Loss.
            rows: its rows.
            metrics: the model's.
        """
        losses, labels, weights = rows
        whole = float(weights.sum())
        if not (task.base and whole):
            self.tasks[task.name] = None
            return
        base = torch.tensor(task.base, dtype=torch.float64)
        said = (
            base.expand(len(labels), -1) if task.kind == "multiclass" else base.expand(len(labels))
        )
        constant = row_losses(task.kind, said, labels, mean=task.mean, std=task.std)
        loss = float((constant * weights).sum()) / whole
        gap = (losses - constant) * weights
        difference = float(gap.sum()) / whole
        influence, shares = (
            self._by_unit(part / whole) for part in (gap - difference * weights, weights)
        )
        self._influence += share * influence
        self._shares += share * shares
        self._loss += share * loss
        self._difference += share * difference
        self.tasks[task.name] = _gap(loss, difference, influence, shares)
        known = {name: 0.5 for name in ("auc", "gauc") if metrics.get(name) is not None}
        self.metrics[task.name] = {
            **known,
            **({"rmse": math.sqrt(loss) * task.std} if task.kind == "regression" else {}),
        }

    def _by_unit(self, values: Tensor) -> np.ndarray:
        own = values.numpy()
        return (
            own
            if self._unit is None
            else np.bincount(self._unit, weights=own, minlength=len(self._influence))
        )

    def result(self) -> Against:
        """The model beside the constant, by all tasks added."""
        # of a part of the tasks alone it would be another sum
        known = self.tasks and all(self.tasks.values())
        total = _gap(self._loss, self._difference, self._influence, self._shares) if known else None
        return {"total": total, "tasks": self.tasks, "metrics": self.metrics}


def _gap(loss: float, difference: float, influence: np.ndarray, shares: np.ndarray) -> Gap:
    units = equal_units(shares)
    if units <= ONE_UNIT:
        return {
            "loss": loss,
            "difference": difference,
            "low": None,
            "high": None,
            "verdict": "not shown",
        }
    deviation = math.sqrt(units / (units - 1) * float(influence @ influence))
    half = float(stats.t.ppf(0.5 + LEVEL / 2, units - 1)) * deviation
    low = difference - half
    high = difference + half
    least = RESOLUTION * loss
    verdict: Verdict = "worse" if low > least else "better" if high < -least else "not shown"
    return {"loss": loss, "difference": difference, "low": low, "high": high, "verdict": verdict}
