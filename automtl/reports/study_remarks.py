"""Remarks on a study: its best trial beside the constant, and whether seeds tell trials apart."""

from collections.abc import Mapping, Sequence
from typing import Any

from automtl.errors import counted
from automtl.statistics import MARGIN, pooled_deviation

MORE_SEEDS = "--set tune.seeds=3 trains each with three"


def constant_of(trials: Sequence[Mapping[str, Any]]) -> float | None:
    """The constant's cost on the validation rows, as that of trials; None where it is not known."""
    costs = (trial["facts"].get("constant") for trial in trials)
    return next((cost for cost in costs if isinstance(cost, int | float)), None)


def remarks(
    trials: Sequence[Mapping[str, Any]], *, monitor: str, more_is_better: bool
) -> list[str]:
    """What must be said before a trial is called the best: that it is not better than the
    constant, and what training with other seeds would change.

    Args:
        trials: as `results.json` of a study holds them.
        monitor: the name of what they are judged by.
        more_is_better: its sign in `loss` is the other one.
    """
    complete = [trial for trial in trials if trial["loss"] is not None]
    best = min(complete, key=lambda trial: (trial["loss"], trial["number"]), default=None)
    if best is None:
        return []
    constant, sign = constant_of(trials), -1 if more_is_better else 1
    lines = []
    if constant is not None and best["loss"] >= constant:
        lines.append(
            "no trial is better than the constant (predicting the training rows' base rates): "
            f"the best has validation {monitor} {sign * best['loss']:.5f} for "
            f"{sign * constant:.5f}"
        )
    return lines + (_of_seeds(best, complete) if len(complete) > 1 else [])


def _of_seeds(best: Mapping[str, Any], complete: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which trials the seeds do not tell from the best."""
    losses = [trial["facts"].get("losses") or () for trial in complete]
    if (pooled := pooled_deviation(losses)) is None:
        return [
            "single trainings of one seed do not tell trials apart: the best may have had luck; "
            + MORE_SEEDS
        ]
    margin = MARGIN * pooled[0]
    others = [trial for trial in complete if trial is not best]
    equal = sum(trial["loss"] - best["loss"] <= margin for trial in others)
    return [
        f"{equal} of {counted(len(others), 'other trial')} count as equal to the best: within "
        f"{MARGIN} x {pooled[0]:.5f}, the standard deviation between seeds pooled over the trials"
    ]
