"""Judges a trained candidate on A rows, which drive the rungs, and on B rows, which decide."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from automtl.data.store.batches import Batches
from automtl.data.store.slices import groups
from automtl.errors import NumericalError
from automtl.phases.run.alone import constant_predictions
from automtl.phases.run.session import Session
from automtl.statistics import ONE_UNIT, equal_units
from automtl.training.metrics.evaluation import Predictions
from automtl.training.metrics.influence import Influence, influence, shares, variance


@dataclass(frozen=True)
class Look:
    """A model in training, judged.

    Args:
        step: of its training.
        a, b: MTL-Loss on A and B rows.
        units: what every unit of the B rows adds.
        tasks: see `Judge.tasks`.
    """

    step: int
    a: float
    b: float
    units: np.ndarray
    tasks: tuple[tuple[float, float], ...] = ()

    @property
    def state(self) -> dict[str, Any]:
        """As a checkpoint holds it."""
        units = torch.from_numpy(self.units)
        return {"step": self.step, "a": self.a, "b": self.b, "units": units, "tasks": self.tasks}


@dataclass(frozen=True)
class Judge:
    """Judges networks.

    Args:
        session: data and device.
        a, b: the rows in order.
    """

    session: Session
    a: Batches
    b: Batches

    def loss_a(self, net: nn.Module) -> float:
        """The MTL-Loss on A rows.

        Raises:
            NumericalError: it is not finite.
        """
        return self._finite(self._judged(net, self.a), "A")

    def on_b(self, net: nn.Module) -> Influence:
        """The MTL-Loss on B rows with what every unit adds to it.

        Raises:
            NumericalError: it is not finite.
        """
        judged = self._judged(net, self.b)
        self._finite(judged, "B")
        return judged

    def tasks(self, judged: Influence) -> tuple[tuple[float, float], ...]:
        """Per task its own loss on B rows, and the standard error over units of its difference from
        the base rates'; () where that is not known.
        """
        if self.constant is None or min(self.equal_units_of_tasks) <= ONE_UNIT:
            return ()
        figures = zip(judged.tasks, self.constant.tasks, self.equal_units_of_tasks, strict=True)
        return tuple(
            (own.loss or 0.0, math.sqrt(variance(own.units, base.units, equal)))
            for own, base, equal in figures
        )

    def _judged(self, net: nn.Module, batches: Batches) -> Influence:
        return self._influence(self.session.predict(net, batches))

    def _influence(self, predictions: Predictions) -> Influence:
        users = groups(self.session.store, "train", predictions.rows)
        return influence(predictions, self.session.schema.tasks, users)

    def _finite(self, judged: Influence, rows: str) -> float:
        if judged.loss is None or not math.isfinite(judged.loss):
            raise NumericalError(f"{rows} rows", "the MTL-Loss must be finite", judged.loss)
        return judged.loss

    @cached_property
    def constant(self) -> Influence | None:
        """The training rows' base rates on B rows; None where a task has none."""
        tasks = self.session.schema.tasks
        if not all(task.base for task in tasks):
            return None
        outputs = [
            np.array(task.base if task.kind == "multiclass" else task.base[0]) for task in tasks
        ]
        return self._influence(constant_predictions(outputs, *self._rows_b))

    @cached_property
    def units(self) -> int:
        """The number of units of the B rows: rows, or the groups that they come in."""
        *_, rows = self._rows_b
        return len(rows) if self._users_b is None else len(np.unique(self._users_b))

    @cached_property
    def equal_units(self) -> float:
        """How many units of equal size would tell as much."""
        labels, weights, _ = self._rows_b
        return equal_units(shares(labels, weights, self.session.schema.tasks, self._users_b))

    @cached_property
    def equal_units_of_tasks(self) -> list[float]:
        """The same of each task's own loss."""
        labels, weights, _ = self._rows_b
        counts = []
        for t, task in enumerate(self.session.schema.tasks):
            own = None if weights is None else weights[:, t : t + 1]
            counts.append(equal_units(shares(labels[:, t : t + 1], own, [task], self._users_b)))
        return counts

    @cached_property
    def _users_b(self) -> np.ndarray | None:
        """The groups that the B rows come in."""
        *_, rows = self._rows_b
        return groups(self.session.store, "train", rows)

    @cached_property
    def _rows_b(self) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Labels, weights and numbers of the B rows."""
        parts = list(self.b.epoch(0))
        labels = np.concatenate([batch.labels.numpy() for batch in parts])
        known = [batch.weights.numpy() for batch in parts if batch.weights is not None]
        rows = np.concatenate([batch.rows.numpy() for batch in parts])
        return labels, np.concatenate(known) if known else None, rows
