"""Which epoch was best, and when to stop waiting for a better one."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from automtl.errors import ConfigError, DataError, NumericalError
from automtl.strict import nearest
from automtl.training.checkpoint_state import Count, Number, State, parse, require

# +1: higher is better. Calibration is in no table: its target is 1, neither end.
DIRECTIONS = {
    "loss": -1,
    "logloss": -1,
    "ne": -1,
    "rmse": -1,
    "mae": -1,
    "auc": 1,
    "gauc": 1,
    "accuracy": 1,
}
# What may be monitored of a task, by its kind.
MONITORED = {
    "binary": ("auc", "gauc", "logloss", "ne"),
    "multiclass": ("auc", "accuracy", "logloss"),
    "regression": ("rmse", "mae"),
}


@dataclass(frozen=True)
class Monitor:
    """What decides which epoch is best.

    Args:
        task: its name; "" for the MTL-Loss.
        metric: a key of `DIRECTIONS`.
    """

    task: str = ""
    metric: str = "loss"

    @classmethod
    def of(cls, given: Mapping[str, str]) -> "Monitor":
        """From the setting: {task: metric}, or nothing for the MTL-Loss."""
        return cls(*next(iter(given.items()), ()))

    @property
    def name(self) -> str:
        """Its name in messages."""
        return f"{self.task} {self.metric}" if self.task else "MTL-Loss"

    @property
    def more_is_better(self) -> bool:
        """Whether a larger value is the better one."""
        return DIRECTIONS[self.metric] > 0

    def value(self, validation: Mapping[str, Any]) -> float | None:
        """Its value in an evaluation, as `Evaluation.line` tells it; None where it is undefined or
        not there.
        """
        value = (
            validation["tasks"].get(self.task, {}).get(self.metric)
            if self.task
            else validation["loss"]
        )
        return None if value is None else float(value)

    def judged(self, validation: Mapping[str, Any], *, epoch: int) -> float:
        """Its value after an epoch of training.

        Raises:
            NumericalError: the MTL-Loss is not finite.
            DataError: the value is undefined.
        """
        loss, value = validation["loss"], self.value(validation)
        if loss is not None and not math.isfinite(loss):
            raise NumericalError(
                f"epoch {epoch}", "the validation MTL-Loss must be finite", loss, "lower retrain.lr"
            )
        if value is None:
            rule = f"{self.name} must be defined on the validation rows"
            fix = "take more validation rows, or another metric"
            raise DataError(f"retrain.monitor, epoch {epoch}", rule, "undefined", fix)
        return value

    def cost(self, validation: Mapping[str, Any]) -> float | None:
        """The value as a cost, negated where more is better."""
        value = self.value(validation)
        return -value if value is not None and self.more_is_better else value

    def shown(self, cost: float) -> float:
        """A cost as people know the figure."""
        return -cost if self.more_is_better else cost


def check_monitor(given: Mapping[str, str], kinds: Mapping[str, str], *, grouped: bool) -> None:
    """Refuse a monitor that cannot be followed.

    Args:
        given: the setting, {task: metric}, or nothing.
        kinds: the data set's tasks and their kinds.
        grouped: whether the data set names the group that GAUC needs.

    Raises:
        ConfigError: there is no such task, the task has no such metric, or the metric no direction.
    """
    for task, metric in given.items():
        where = "retrain.monitor"
        if task not in kinds:
            raise ConfigError(where, "must name a task of the data set", task, nearest(task, kinds))
        known = MONITORED[kinds[task]]
        fix = "its target is 1, neither end; " if metric == "calibration" else ""
        if metric not in known:
            hint = f"choose from {', '.join(known)}" if fix else nearest(metric, known)
            raise ConfigError(
                where,
                f"must be a metric of a {kinds[task]} task with a direction",
                metric,
                fix + hint,
            )
        if metric == "gauc" and not grouped:
            raise ConfigError(
                where,
                "gauc needs a data set that names a `group`",
                "none",
                "add `group:` to the data set, or take auc",
            )


class _State(State):
    """The state of an early stop."""

    metric: str
    best_epoch: Count | None
    best: Number | None
    stale: Count


class EarlyStopping:
    """Follow one metric and its direction.

    A value that is None (undefined), NaN or infinite is no improvement, and never the best.

    Args:
        metric: a key of `DIRECTIONS`; "loss" is the MTL-Loss or a task's own.
        patience: stop after so many updates in a row without improvement, at least 1.

    Attributes:
        best_epoch, best: the epoch with the best value so far, the first of equals; None before
            any.

    Raises:
        ConfigError: a metric without a direction, or patience below 1.
    """

    def __init__(self, metric: str, patience: int) -> None:
        if metric not in DIRECTIONS:
            rule = (
                "has no direction to follow (its target is 1)"
                if metric == "calibration"
                else "must be a metric with a direction"
            )
            hint = (
                f"choose from {', '.join(DIRECTIONS)}"
                if metric == "calibration"
                else nearest(metric, DIRECTIONS)
            )
            raise ConfigError("early stopping metric", rule, repr(metric), hint)
        if patience < 1:
            raise ConfigError("early stopping patience", "must be at least 1 epoch", patience)
        self.metric, self.patience = metric, patience
        self.best_epoch: int | None = None
        self.best: float | None = None
        self._stale = 0

    @property
    def should_stop(self) -> bool:
        """Whether `patience` updates in a row brought nothing better."""
        return self._stale >= self.patience

    def update(self, epoch: int, value: float | None) -> bool:
        """Note the value of an epoch; True where it is the best so far."""
        improved = (
            value is not None
            and math.isfinite(value)
            and (self.best is None or DIRECTIONS[self.metric] * (value - self.best) > 0)
        )
        if improved:
            self.best_epoch, self.best = epoch, value
        self._stale = 0 if improved else self._stale + 1
        return improved

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs; plain JSON values."""
        return {
            "metric": self.metric,
            "best_epoch": self.best_epoch,
            "best": self.best,
            "stale": self._stale,
        }

    def load_state_dict(self, state: Any) -> None:
        """Go on from a `state_dict()` of the same metric.

        Raises:
            ConfigError: the state is of another metric.
            AutoMTLError: it is none.
        """
        saved = parse(_State, state, "stopping")
        require(
            (saved.best is None) == (saved.best_epoch is None),
            "stopping",
            "must know both the best and its epoch",
            "one of them",
        )
        if state["metric"] != self.metric:
            raise ConfigError(
                "early stopping metric",
                f"must be {state['metric']!r}, as in the run that is resumed",
                repr(self.metric),
            )
        self.best_epoch = state["best_epoch"]
        self.best = state["best"]
        self._stale = state["stale"]
