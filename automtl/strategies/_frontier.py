"""Multiple-choice knapsack by frontiers: of all choices so far, those that no other beats in every
cost and in score.

Legend: m points, k costs, n candidates of a block.
"""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_POINTS = 4000  # kept per frontier; beyond, evenly thinned along the first cost


@dataclass(frozen=True)
class Frontier:
    """Choices over some blocks that are worth keeping.

    Args:
        costs: (m, k), ascending in the first.
        scores: (m,).
        picks: (m, blocks so far) numbers of the candidates.
        exact: nothing was thinned out.
    """

    costs: np.ndarray
    scores: np.ndarray
    picks: np.ndarray
    exact: bool = True

    @classmethod
    def start(cls, costs: np.ndarray) -> "Frontier":
        """No block yet: the fixed costs. Shape: costs (k,)."""
        return cls(costs[None].astype(np.int64), np.zeros(1), np.zeros((1, 0), dtype=np.int16))

    def extended(self, costs: np.ndarray, scores: np.ndarray, limits: np.ndarray) -> "Frontier":
        """With one more block.

        Shape: costs (n, k), scores (n,), limits (k,).
        """
        n = len(scores)
        all_costs = (self.costs[:, None] + costs[None]).reshape(-1, costs.shape[1])
        all_scores = (self.scores[:, None] + scores[None]).reshape(-1)
        keep = np.flatnonzero((all_costs <= limits).all(1))
        keep = keep[_undominated(all_costs[keep], all_scores[keep])]
        exact = self.exact and len(keep) <= MOST_POINTS
        if len(keep) > MOST_POINTS:
            keep = keep[np.unique(np.linspace(0, len(keep) - 1, MOST_POINTS).round().astype(int))]
        picks = np.concatenate(
            [self.picks[keep // n], (keep % n)[:, None].astype(np.int16)], axis=1
        )
        return Frontier(all_costs[keep], all_scores[keep], picks, exact)

    @property
    def best(self) -> float:
        """The highest score; -inf where nothing is within the limits."""
        return float(self.scores.max()) if len(self.scores) else -np.inf


def _undominated(costs: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Numbers of the points that none beats or equals in all costs and score, ascending in the
    first cost.
    """
    order = np.lexsort((-scores, *costs.T[::-1]))
    if costs.shape[1] == 1:
        sorted_scores = scores[order]
        before = (
            np.concatenate([[-np.inf], np.maximum.accumulate(sorted_scores)[:-1]])
            if len(order)
            else sorted_scores
        )
        return order[sorted_scores > before]
    return order[_staircase(costs[order, 1].tolist(), scores[order].tolist())]


def _staircase(second: Sequence[int], scores: Sequence[float]) -> list[int]:
    """For points ascending in their first cost, those whose score no earlier one with as low a
    second cost reaches.
    """
    steps: list[int] = []
    heights: list[float] = []
    kept = []
    for number, (cost, score) in enumerate(zip(second, scores, strict=True)):
        place = bisect.bisect_right(steps, cost)
        if place and heights[place - 1] >= score:
            continue
        end = place
        while end < len(heights) and heights[end] <= score:
            end += 1
        start = place - 1 if place and steps[place - 1] == cost else place
        steps[start:end], heights[start:end] = [cost], [score]
        kept.append(number)
    return kept
