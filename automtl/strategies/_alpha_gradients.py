"""Tells whether alphas still move or only tremble, by the means of their gradients over passes.

A pass is one over the A rows.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from scipy.special import stdtrit
from torch import Tensor, nn

from automtl.spaces.decisions import Motion
from automtl.training.checkpoint_state import Count, State, parse, require, require_tensors

PASSES = 10  # the last so many are looked at, and as many it takes
LEVEL = 0.95
# of the correlation of successive passes: above it ten passes are hardly more than one
MOST_CORRELATION = 0.8
LEAST_FREEDOM = 3.0  # with fewer degrees no alpha would be told to move


class _State(State):
    """State of the means."""

    total: Tensor
    count: Count
    means: Tensor


class AlphaGradients:
    """Gathers gradients batch by batch, and their mean over each pass.

    A pass's batches are the same rows each time, so that means of whole passes differ by what the
    weights and the noise make of them, not by which rows came.

    Args:
        alphas: the parameters.
        batches: of a pass; 0 gathers nothing.
    """

    def __init__(self, alphas: Sequence[nn.Parameter], batches: int) -> None:
        self._alphas = list(alphas)
        self._batches = batches
        self._count = 0
        sizes = [alpha.numel() for alpha in alphas]
        self._starts = [sum(sizes[:i]) for i in range(len(sizes))]
        device = alphas[0].device if alphas else None
        self._total = torch.zeros(sum(sizes), dtype=torch.float64, device=device)
        self._means = self._total.new_zeros(0, sum(sizes))

    def add(self) -> None:
        """Take in the gradients as they stand."""
        if not self._batches:
            return
        for start, alpha in zip(self._starts, self._alphas, strict=True):
            if alpha.grad is not None:
                self._total[start : start + alpha.numel()] += alpha.grad.detach()
        self._count += 1
        if self._count == self._batches:
            self._means = torch.cat([self._means, self._total[None] / self._count])[-PASSES:]
            self._total, self._count = torch.zeros_like(self._total), 0

    def motion(self, alpha: nn.Parameter, first: int, second: int) -> Motion:
        """Whether two candidates of a block still part: "moving" where the mean over passes of the
        difference of their gradients is told apart from 0 (Student's t, 95%, with as many passes as
        count as independent), else "settled": not shown to move; with fewer than 10 passes
        "unknown".
        """
        if len(self._means) < PASSES:
            return "unknown"
        start = next(s for s, a in zip(self._starts, self._alphas, strict=True) if a is alpha)
        gaps = self._means[:, start + first] - self._means[:, start + second]
        count = effective(gaps)
        error = float(gaps.std()) / math.sqrt(count)
        limit = float(stdtrit(max(count - 1, LEAST_FREEDOM), 0.5 + LEVEL / 2))
        return "moving" if abs(float(gaps.mean())) > limit * error else "settled"

    def state_dict(self) -> dict[str, Any]:
        """All that going on needs."""
        return {"total": self._total, "count": self._count, "means": self._means}

    def load_state_dict(self, state: Any) -> None:
        """Go on from ``state_dict()``.

        Raises:
            AutoMTLError: it is of other alphas.
        """
        saved = parse(_State, state, "alpha_gradients")
        require(
            saved.count < max(self._batches, 1) and len(saved.means) <= PASSES,
            "alpha_gradients",
            f"must be of passes of {self._batches} batches, at most {PASSES}",
            f"batch {saved.count} of pass {len(saved.means)}",
        )
        means = self._total.new_zeros(len(saved.means), len(self._total))
        owned = {"total": self._total, "means": means}
        require_tensors(owned, {"total": saved.total, "means": saved.means}, "alpha_gradients")
        self._total = saved.total.to(self._total.device).clone()
        self._means, self._count = saved.means.to(self._total.device).clone(), saved.count


def effective(values: Tensor) -> float:
    """How many independent values tell as much of a mean as successive ones do: n (1 - r) / (1 + r)
    with the correlation r of neighbours, whose bias (1 + 4 r) / n (Marriott and Pope 1954) is taken
    off; r is between 0 and .8. Shape: (n,), n above 4.
    """
    n, away = len(values), values - values.mean()
    whole = float(away @ away)
    if whole == 0:
        return float(n)
    r = (n * float(away[1:] @ away[:-1]) / whole + 1) / (n - 4)
    r = min(max(r, 0.0), MOST_CORRELATION)
    return n * (1 - r) / (1 + r)
