"""Differences between trained candidates on B rows, over seeds and rows, adjusted for multiple
comparisons.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import stdtrit

from automtl.phases.race.results import Result, Stage, losses
from automtl.statistics import (
    LEVEL,
    MARGIN,
    ONE_UNIT,
    Difference,
    equivalent,
    holm,
    pooled_deviation,
    seeds_needed,
    welch,
)
from automtl.training.metrics.influence import Influence, variance

Key = tuple[Stage, str]  # a candidate's trainings of a stage
# the sum over a candidate's seeds of what every unit of the B rows adds to its loss
Units = Mapping[Key, np.ndarray]


@dataclass(frozen=True)
class Gap:
    """The difference of one candidate's loss from another's.

    Args:
        difference: of the means.
        low, high: its interval, adjusted for the family.
        apart: whether that leaves 0 out.
        tied: whether the two are equal but for the margin (two one-sided tests of 95%).
    """

    difference: float
    low: float
    high: float
    apart: bool
    tied: bool

    @property
    def worse(self) -> bool:
        """Whether the one is shown to be worse than the other."""
        return self.low > 0


class Table:
    """The figures of all whole trainings of a race.

    Args:
        results: so far.
        units: per stage and candidate.
        equal: how many units of equal size would tell as much as those of the B rows; None: all
            count alike.
    """

    def __init__(self, results: Sequence[Result], units: Units, equal: float | None = None) -> None:
        keys: dict[Key, None] = dict.fromkeys(
            (r.stage, r.candidate) for r in results if r.stage != "rung"
        )
        self._units, self._equal = units, equal
        self.done = {key: sum((r.stage, r.candidate) == key for r in results) for key in keys}
        self.losses = {
            key: values for key in keys if (values := losses(results, *key)) is not None and values
        }
        self.pooled = pooled_deviation(self.losses.values())

    @property
    def lone(self) -> bool:
        """Whether the B rows are one row, or one group: nothing is known of others, and no two
        candidates can be compared.
        """
        return bool(self._units) and self.equal <= ONE_UNIT

    @property
    def equal(self) -> float:
        """How many units of equal size would tell as much as those of the B rows."""
        if self._equal is not None:
            return self._equal
        return float(min(map(len, self._units.values()), default=0))

    def checked(self, candidate: str, seeds: int) -> bool:
        """Whether a candidate's trainings of the stage "check" are all done."""
        return self.done.get(("check", candidate), 0) >= seeds

    def mean(self, key: Key) -> float:
        """A candidate's mean loss over its seeds; infinite where one was not finite."""
        values = self.losses.get(key)
        return math.inf if values is None else math.fsum(values) / len(values)

    @property
    def margin(self) -> float:
        """Within which two candidates count as equal: 1.5 pooled seed standard deviations."""
        return _margin(self.pooled)

    def _difference(
        self, first: Key, second: Key, pooled: tuple[float, float] | None
    ) -> Difference | None:
        """The first's loss less the second's."""
        one, two = self.losses.get(first), self.losses.get(second)
        if one is None or two is None or pooled is None:
            return None
        rows = self._rows(first, second)
        if math.isinf(rows):  # one row, or one group: nothing is known of others
            return None
        return welch(one, two, extra_variance=rows, pooled=pooled, extra_freedom=self.equal - 1)

    def _rows(self, first: Key, second: Key) -> float:
        """The variance of their difference over rows, or over the groups they come in."""
        one, two = (self._units[key] / len(self.losses[key]) for key in (first, second))
        return variance(one, two, self._equal)

    def seeds_needed(self, first: Key, second: Key, family: int) -> int | None:
        """How many seeds of each would show a difference of this size in four of five races, as one
        of so many comparisons; None where more than are to be had, as too few rows leave it open.
        """
        if (difference := self._difference(first, second, self.pooled)) is None:
            return None
        assert self.pooled is not None
        deviations = (self.pooled[0], self.pooled[0])
        return seeds_needed(
            difference.difference,
            deviations,
            level=1 - (1 - LEVEL) / max(family, 1),
            extra_variance=self._rows(first, second),
            extra_freedom=self.equal - 1,
        )

    def family(self, keys: Sequence[Key]) -> dict[tuple[Key, Key], Gap]:
        """Every pair of some candidates, adjusted by Holm for all pairs, as the best of them is
        picked by the same figures.
        """
        pairs = list(combinations(keys, 2))
        differences = {
            pair: d for pair in pairs if (d := self._difference(*pair, self.pooled)) is not None
        }
        return dict(zip(differences, self._adjusted(list(differences.values())), strict=True))

    def against(self, first: Key, second: Key, family: int) -> Gap | None:
        """The first's loss less the second's, as one of so many comparisons (Bonferroni). The
        deviation between seeds is of the trainings up to theirs, so that no later one turns what
        was decided, and what was trained because of it.
        """
        order = list(self.done)
        known = order[: 1 + max(order.index(key) for key in (first, second))]
        pooled = pooled_deviation([self.losses[key] for key in known if key in self.losses])
        difference = self._difference(first, second, pooled)
        if difference is None:
            return None
        return _gap(difference, 1 - (1 - LEVEL) / max(family, 1), _margin(pooled))

    def _adjusted(self, differences: Sequence[Difference]) -> list[Gap]:
        corrected = holm([d.p for d in differences])
        order = sorted(range(len(differences)), key=lambda i: differences[i].p)
        rejected = sum(p < 1 - LEVEL for p in corrected)
        gaps = {}
        for rank, i in enumerate(order):
            # Holm's step; what is not told apart has the level at which it stopped
            step = len(differences) - min(rank, rejected)
            gaps[i] = _gap(differences[i], 1 - (1 - LEVEL) / step, self.margin)
        return [gaps[i] for i in range(len(differences))]

    def beats(self, key: Key, constant: Influence, among: int) -> bool:
        """Whether a candidate's loss is shown to lie below the constant's: the upper one-sided 95%
        limit of the difference, adjusted for so many that it is the best of, is below 0.
        """
        values = self.losses.get(key)
        if values is None or constant.loss is None or self.pooled is None:
            return False
        rows = variance(self._units[key] / len(values), constant.units, self._equal)
        if math.isinf(rows):
            return False
        error = math.sqrt(self.pooled[0] ** 2 / len(values) + rows)
        freedom = min(self.pooled[1], self.equal - 1)
        limit = float(stdtrit(freedom, 1 - (1 - LEVEL) / max(among, 1)))
        return self.mean(key) - constant.loss + limit * error < 0


def _margin(pooled: tuple[float, float] | None) -> float:
    return 0.0 if pooled is None else MARGIN * pooled[0]


def _gap(difference: Difference, level: float, margin: float) -> Gap:
    low, high = difference.limits(level)
    tied = margin > 0 and equivalent(difference, margin)
    return Gap(difference.difference, low, high, not low <= 0 <= high, tied)


def flipped(gap: Gap) -> Gap:
    """The gap seen from the other candidate."""
    return Gap(-gap.difference, -gap.high, -gap.low, gap.apart, gap.tied)
