"""Which epoch was best, and when to stop waiting for a better one."""

import math
from typing import Any

from automtl.errors import ConfigError
from automtl.strict import nearest
from automtl.training.states import Count, Number, State, check, need

# +1: higher is better. Calibration is in no table: its target is 1, neither end.
DIRECTIONS = {"loss": -1, "logloss": -1, "ne": -1, "rmse": -1, "mae": -1, "auc": 1, "gauc": 1, "accuracy": 1}


class _State(State):
    """Of an early stop."""

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
        best_epoch, best: the epoch with the best value so far, the first of equals; None before any.

    Raises:
        ConfigError: a metric without a direction, or patience below 1.
    """

    def __init__(self, metric: str, patience: int) -> None:
        if metric not in DIRECTIONS:
            rule = "has no direction to follow (its target is 1)" if metric == "calibration" else "must be a metric with a direction"
            hint = f"choose from {', '.join(DIRECTIONS)}" if metric == "calibration" else nearest(metric, DIRECTIONS)
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
        """Take the value of an epoch; True where it is the best so far."""
        improved = value is not None and math.isfinite(value) and (self.best is None or DIRECTIONS[self.metric] * (value - self.best) > 0)
        if improved:
            self.best_epoch, self.best = epoch, value
        self._stale = 0 if improved else self._stale + 1
        return improved

    def state(self) -> dict[str, Any]:
        """What a resumed run needs; plain JSON values."""
        return {"metric": self.metric, "best_epoch": self.best_epoch, "best": self.best, "stale": self._stale}

    def load(self, state: Any) -> None:
        """Go on from a `state()` of the same metric.

        Raises:
            ConfigError: the state is of another metric.
            AutoMTLError: it is none.
        """
        held = check(_State, state, "stopping")
        need((held.best is None) == (held.best_epoch is None), "stopping", "must know both the best and its epoch", "one of them")
        if state["metric"] != self.metric:
            raise ConfigError("early stopping metric", f"must be {state['metric']!r}, as in the run that is resumed", repr(self.metric))
        self.best_epoch, self.best, self._stale = state["best_epoch"], state["best"], state["stale"]
