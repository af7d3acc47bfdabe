"""One model against another in one metric: Welch's test over independent trainings, corrected
within its family, in words.

What is shown is shown of the rows evaluated: intervals are over seeds, and other rows may tell
another story. (A race's are over rows, too.)

Two models' equal seed numbers are taken for no pair. Where they have something in common the
intervals here are too wide, not too narrow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import stdev

from scipy import stats

from automtl.errors import counted
from automtl.runs.constant import LOSS
from automtl.statistics import (
    LEVEL,
    MOST_SEEDS,
    Interval,
    equivalent,
    holm,
    noninferior,
    seeds_needed,
    welch,
)

LEAST_RANKED = 6  # units of each side, with which ranks are looked at


@dataclass(frozen=True)
class Contrast:
    """One model against another in one metric.

    Args:
        metric: "MTL-Loss", or a task and its metric.
        reference: the other model's name.
        units: how many independent figures the model and the reference have.
        better: whether a positive difference is good.
        difference: mean of model minus reference; None where one of them has no figure.
        interval: 95% confidence interval of it, not corrected; None where one has fewer than two.
        p: of Welch's test, two-sided; likewise.
        freedom: its degrees of freedom; likewise.
        rank_sum: p of Wilcoxon's rank-sum test, two-sided; None with fewer than `LEAST_RANKED`
            units on either side.
        holm: `p` corrected for its family: of the same reference either all comparisons of the
            MTL-Loss, which are primary, or all of tasks' metrics, which are secondary.
        noninferior: of the MTL-Loss, whether it is shown to be less than the margin above the
            reference's (the upper one-sided 95% limit).
        equivalent: of the MTL-Loss, whether the 90% interval lies within the margin to both sides.
        seeds_needed: units a side that would show a difference of this size in four of five
            trials after the correction; None where it is shown, or no number would.
    """

    metric: str
    reference: str
    units: tuple[int, int]
    better: bool
    difference: float | None = None
    interval: Interval | None = None
    p: float | None = None
    freedom: float | None = None
    rank_sum: float | None = None
    holm: float | None = None
    noninferior: bool | None = None
    equivalent: bool | None = None
    seeds_needed: int | None = None

    @property
    def primary(self) -> bool:
        """Whether the verdict is about it."""
        return self.metric == LOSS

    @property
    def shown(self) -> str:
        """Either "better" or "worse", or "" where no difference is shown."""
        if self.holm is None or self.difference is None or self.holm >= 1 - LEVEL:
            return ""
        return "better" if (self.difference > 0) == self.better else "worse"

    def words(self, unit: str, margin: float | None) -> str:
        """The verdict.

        Args:
            unit: what is counted: "retrain seeds" or "searches".
            margin: that `noninferior` and `equivalent` are about.
        """
        if self.difference is None:
            return f"no figure to compare with {self.reference}"
        one = "search" if unit == "searches" else unit.removesuffix("s")
        counts = f"{counted(self.units[0], one, unit)} against {counted(self.units[1], 'seed')}"
        if self.holm is None:
            return f"not tested against {self.reference}: {counts}, and a test takes two of each"
        tested = f"p = {self.holm:.3g}, {counts}"
        if self.shown:
            size = abs(self.difference)
            said = f"{self.shown} than {self.reference} by {size:.5f} on these rows ({tested})"
        else:
            said = f"no difference to {self.reference} shown ({tested})"
        return said + self._beside_margin(margin) + self._more()

    def _beside_margin(self, margin: float | None) -> str:
        if margin is None or self.noninferior is None:
            return ""
        if self.equivalent:
            return f", equal to it within {margin:.5f}"
        if self.noninferior:
            return "" if self.shown == "better" else f", not worse by {margin:.5f} or more"
        return "" if self.shown == "worse" else f", not shown to be less than {margin:.5f} worse"

    def _more(self) -> str:
        if self.shown:
            return ""
        if self.seeds_needed is None:
            count = f"more than {MOST_SEEDS:,}"
        else:
            count = f"about {self.seeds_needed:,}"
        return f"; to see a difference of this size takes {count} of each"


def contrast(
    metric: str,
    reference: str,
    own_figures: Mapping[int, float],
    reference_figures: Mapping[int, float],
    *,
    better: bool,
    margin: float | None = None,
) -> Contrast:
    """Compare two models' figures.

    Args:
        metric: its name.
        reference: the other model's name.
        own_figures: by unit; units of the two are independent, whatever their numbers.
        reference_figures: by unit.
        better: whether larger figures are better.
        margin: of non-inferiority in the MTL-Loss.
    """
    one, other = list(own_figures.values()), list(reference_figures.values())
    untested = Contrast(metric, reference, (len(one), len(other)), better)
    if not one or not other:
        return untested
    test = welch(one, other)
    if test is None:
        return replace(untested, difference=sum(one) / len(one) - sum(other) / len(other))
    judged = margin if metric == LOSS else None
    return replace(
        untested,
        difference=test.difference,
        interval=(test.low, test.high),
        p=test.p,
        freedom=test.freedom,
        rank_sum=_rank_sum(one, other),
        noninferior=None if judged is None else noninferior(test, judged),
        equivalent=None if judged is None else equivalent(test, judged),
    )


def _rank_sum(one: Sequence[float], other: Sequence[float]) -> float | None:
    if min(len(one), len(other)) < LEAST_RANKED:
        return None
    return float(stats.mannwhitneyu(one, other, alternative="two-sided").pvalue)


def corrected(
    contrasts: Sequence[Contrast], figures: Sequence[tuple[Mapping[int, float], ...]]
) -> list[Contrast]:
    """The contrasts with `holm` filled in, and with `seeds_needed` where nothing is shown.

    Args:
        contrasts: of all models, all references and metrics.
        figures: of each contrast, the model's and the reference's.
    """
    done = list(contrasts)
    for family in dict.fromkeys((c.reference, c.primary) for c in contrasts):
        members = [
            i
            for i, c in enumerate(contrasts)
            if (c.reference, c.primary) == family and c.p is not None
        ]
        p_values = holm([contrasts[i].p or 0.0 for i in members])
        for i, p in zip(members, p_values, strict=True):
            done[i] = replace(done[i], holm=p)
            if not done[i].shown:
                done[i] = replace(done[i], seeds_needed=_needed(done[i], figures[i], len(members)))
    return done


def _needed(test: Contrast, figures: tuple[Mapping[int, float], ...], family: int) -> int | None:
    own, reference = (stdev(values.values()) for values in figures)
    level = 1 - (1 - LEVEL) / family  # what Holm's rule asks of the least p
    return seeds_needed(test.difference or 0.0, (own, reference), level=level)
