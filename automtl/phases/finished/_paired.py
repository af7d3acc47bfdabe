"""Paired comparison of two models over seeds: t and Wilcoxon tests, Holm's correction, confidence
interval, words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from automtl.statistics import holm

LEVEL = 0.05
LEAST_SEEDS = 6  # with which Wilcoxon's test can reach it, see `least_p`


@dataclass(frozen=True)
class Paired:
    """One model against another in one metric, over the seeds that both have.

    Args:
        metric: "MTL-Loss", or a task and its metric.
        reference: the other model's name.
        seeds: those in common.
        difference: mean of model minus reference; None without a common seed.
        interval: 95% confidence interval of it (paired t, not corrected); None for fewer than two
            seeds.
        t: p of the paired t-test, two-sided; None for fewer than two seeds.
        wilcoxon: p of Wilcoxon's signed-rank test, exact, two-sided; likewise. It cannot be below
            `least_p`.
        holm: `t` corrected for all comparisons with the same reference.
        better: whether a positive difference is good.
    """

    metric: str
    reference: str
    seeds: tuple[int, ...]
    difference: float | None
    interval: tuple[float, float] | None
    t: float | None
    wilcoxon: float | None
    better: bool
    holm: float | None = None

    @property
    def shown(self) -> str:
        """Either "better" or "worse", or "" where no difference is shown."""
        if self.holm is None or self.difference is None or self.holm >= LEVEL:
            return ""
        return "better" if (self.difference > 0) == self.better else "worse"

    @property
    def words(self) -> str:
        """The verdict."""
        if not self.seeds:
            return f"no seed in common with {self.reference}"
        if self.t is None or self.holm is None:
            return f"not tested against {self.reference}: one seed in common"
        tested = f"p = {self.holm:.3g} over {len(self.seeds)} seeds"
        if not self.shown:
            return f"no difference to {self.reference} shown ({tested})"
        return f"{self.shown} than {self.reference} by {abs(self.difference or 0.0):.5f} ({tested})"


def compare_paired(
    metric: str,
    reference: str,
    mine: Mapping[int, float],
    theirs: Mapping[int, float],
    *,
    better: bool,
) -> Paired:
    """Compare two models' figures by seed.

    Args:
        metric: its name.
        reference: the other model's name.
        mine: by seed.
        theirs: by seed.
        better: whether larger figures are better.
    """
    seeds = tuple(sorted(set(mine) & set(theirs)))
    gaps = np.array([mine[s] - theirs[s] for s in seeds], dtype=float)
    if not len(gaps):
        return Paired(metric, reference, seeds, None, None, None, None, better)
    mean = float(gaps.mean())
    if len(gaps) < 2:
        return Paired(metric, reference, seeds, mean, None, None, None, better)
    if np.ptp(gaps) == 0:  # without spread the t-test is 0/0 or infinite
        sure = 1.0 if mean == 0 else 0.0
        rank = 1.0 if mean == 0 else least_p(len(gaps))
        return Paired(metric, reference, seeds, mean, (mean, mean), sure, rank, better)
    test = stats.ttest_1samp(gaps, 0.0)
    low, high = test.confidence_interval(1 - LEVEL)
    rank = float(stats.wilcoxon(gaps).pvalue)
    return Paired(
        metric, reference, seeds, mean, (float(low), float(high)), float(test.pvalue), rank, better
    )


def least_p(seeds: int) -> float:
    """The least p that Wilcoxon's signed-rank test can have, exact and two-sided: all differences
    of one sign.
    """
    return 2.0 ** (1 - seeds)


def corrected(comparisons: Sequence[Paired]) -> list[Paired]:
    """The same comparisons with `holm` filled in, each reference's comparisons being one family."""
    done = list(comparisons)
    for reference in dict.fromkeys(c.reference for c in comparisons):
        family = [
            i for i, c in enumerate(comparisons) if c.reference == reference and c.t is not None
        ]
        for i, p in zip(family, holm([comparisons[i].t or 0.0 for i in family]), strict=True):
            done[i] = replace(done[i], holm=p)
    return done
