"""Statistics of a few trainings: differences of means, margins, families of tests, power.

Seeds number trainings and pair nothing, so that means are compared by Welch's way. Trainings of one
seed may be lucky together (on two of three tables they are): an interval of means over the same
seeds is too wide, and means over different seeds are no fair comparison.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import nctdtr, ndtr, ndtri, stdtr, stdtrit

from automtl.errors import ConfigError

LEVEL = 0.95
POWER = 0.8
MARGIN = 1.5  # pooled seed standard deviations within which two models count as equal
MOST_SEEDS = 100_000  # that `seeds_needed` looks at
ONE_UNIT = 1.5  # fewer units than that are hardly more than one: nothing is known of others

Interval = tuple[float, float]


@dataclass(frozen=True)
class Difference:
    """The difference of two means, and how sure it is.

    Args:
        difference: the first less the second.
        low: lower limit of its two-sided confidence interval.
        high: upper limit.
        p: that equal means differ by as much, two-sided.
        freedom: degrees of freedom (Welch and Satterthwaite's), at most those of the rows.
        error: standard error of the difference.
    """

    difference: float
    low: float
    high: float
    p: float
    freedom: float
    error: float

    def limits(self, level: float = LEVEL) -> Interval:
        """The two-sided confidence interval at another level; one-sided limits of 95% are those
        of 90%.
        """
        half = _quantile(0.5 + level / 2, self.freedom) * self.error
        return self.difference - half, self.difference + half


def welch(
    first: Sequence[float],
    second: Sequence[float],
    level: float = LEVEL,
    extra_variance: float = 0.0,
    pooled: tuple[float, float] | None = None,
    extra_freedom: float = math.inf,
) -> Difference | None:
    """Compare two means whose variances need not be equal (Welch 1947): SE^2 = s1^2 / n1 +
    s2^2 / n2 + extra.

    Without any spread the interval is the difference itself, and p is 0, or 1 for equal means.

    Args:
        first: figures of independent trainings.
        second: likewise; as many or not.
        level: of the confidence interval.
        extra_variance: variance of the difference from another source, such as the rows that both
            are judged on, which more seeds do not lessen.
        extra_freedom: its degrees of freedom; infinite where it is known. The difference has no
            more: Satterthwaite's are too many where a variance of one or two is small by luck.
        pooled: standard deviation of both, with its degrees of freedom, where it is known better
            from several models than from these two; see `pooled_deviation`.

    Returns:
        None where a mean or its variance cannot be had: no figure, or one without `pooled`.

    Raises:
        ConfigError: a figure is not finite, or a level, a variance or degrees of freedom cannot
            be meant.
    """
    _meant(level, (extra_variance, extra_freedom), pooled)
    if not all(map(math.isfinite, (*first, *second))):
        raise ConfigError("figures", "must be finite to be compared", [*first, *second])
    if min(len(first), len(second)) < (2 if pooled is None else 1):
        return None
    difference = _mean(first) - _mean(second)
    if pooled is None:
        parts = [(_variance(x) / len(x), len(x) - 1.0) for x in (first, second)]
    else:
        parts = [(pooled[0] ** 2 * (1 / len(first) + 1 / len(second)), pooled[1])]
    parts += [(extra_variance, extra_freedom)]
    error = math.sqrt(sum(part for part, _ in parts))
    freedom = min(_satterthwaite(parts), extra_freedom)
    half = _quantile(0.5 + level / 2, freedom) * error
    p = _p_value(difference, error, freedom)
    return Difference(difference, difference - half, difference + half, p, freedom, error)


def upper_limit(
    values: Sequence[float],
    extra_variance: float,
    extra_freedom: float = math.inf,
    level: float = LEVEL,
) -> float:
    """The upper one-sided confidence limit of a mean over seeds; infinite for a single one.

    Args:
        values: of independent trainings.
        extra_variance: from another source, as of `welch`.
        extra_freedom: likewise.
        level: of the limit.
    """
    if len(values) < 2:
        return math.inf
    parts = [(_variance(values) / len(values), len(values) - 1.0), (extra_variance, extra_freedom)]
    error = math.sqrt(sum(part for part, _ in parts))
    return _mean(values) + _quantile(level, min(_satterthwaite(parts), extra_freedom)) * error


def pooled_deviation(groups: Iterable[Sequence[float]]) -> tuple[float, float] | None:
    """The standard deviation within groups of figures, and its degrees of freedom; None where no
    group has two.
    """
    several = [group for group in groups if len(group) > 1]
    freedom = sum(len(group) - 1 for group in several)
    if not freedom:
        return None
    squares = math.fsum(_variance(group) * (len(group) - 1) for group in several)
    return math.sqrt(squares / freedom), float(freedom)


def equal_units(shares: np.ndarray) -> float:
    """How many units of equal size would tell as much as some: (sum s^2)^2 / sum s^4, the effective
    number of clusters whose rows are alike (Carter, Schnepel and Steigerwald 2017). With two large
    groups among many small ones it is hardly above 2.

    Args:
        shares: (U,) of the weight, on any scale.
    """
    squares = (shares / (shares.max(initial=0.0) or 1.0)) ** 2
    return float(squares.sum() ** 2 / ((squares**2).sum() or 1.0))


def noninferior(difference: Difference, margin: float, level: float = LEVEL) -> bool:
    """Whether the first is not worse than the second by a margin: the upper one-sided limit of its
    larger loss lies below it.

    Args:
        difference: of figures where less is better.
        margin: by how much more would matter.
        level: of the one-sided limit.
    """
    _is_margin(margin)
    return difference.limits(2 * level - 1)[1] < margin


def equivalent(difference: Difference, margin: float, level: float = LEVEL) -> bool:
    """Whether the two are equal but for a margin: two one-sided tests (Schuirmann 1987), a 90%
    interval within +-margin at the usual level.
    """
    _is_margin(margin)
    low, high = difference.limits(2 * level - 1)
    return -margin < low and high < margin


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979): p values that hold together for the whole family."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, worst = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = worst
    return corrected


def power(
    gap: float,
    deviations: tuple[float, float],
    seeds: int,
    *,
    level: float = LEVEL,
    extra_variance: float = 0.0,
    extra_freedom: float = math.inf,
) -> float:
    """The chance that a Welch test of so many seeds a side sees a true difference, in its right
    direction (noncentral t).

    Args:
        gap: the true difference of the means.
        deviations: standard deviation between seeds of each side.
        seeds: of each side, at least two.
        level: of the two-sided test: .95 for p < .05.
        extra_variance: from another source, as of `welch`.
        extra_freedom: likewise.
    """
    parts = [(deviation**2 / seeds, seeds - 1.0) for deviation in deviations]
    parts += [(extra_variance, extra_freedom)]
    error = math.sqrt(sum(part for part, _ in parts))
    if error == 0:
        return float(gap != 0)
    freedom = min(_satterthwaite(parts), extra_freedom)
    return float(1 - nctdtr(freedom, abs(gap) / error, _quantile(0.5 + level / 2, freedom)))


def seeds_needed(
    gap: float,
    deviations: tuple[float, float],
    *,
    level: float = LEVEL,
    chance: float = POWER,
    extra_variance: float = 0.0,
    extra_freedom: float = math.inf,
) -> int | None:
    """How many seeds of each side a Welch test needs to see a true difference; None for more than
    `MOST_SEEDS`.

    Args:
        gap: the true difference of the means.
        deviations: standard deviation between seeds of each side.
        level: of the two-sided test.
        chance: wanted, of seeing it.
        extra_variance: from another source, as of `welch`.
        extra_freedom: likewise.
    """
    extra = {"extra_variance": extra_variance, "extra_freedom": extra_freedom}

    def enough(seeds: int) -> bool:
        return power(gap, deviations, seeds, level=level, **extra) >= chance

    if gap == 0 or not enough(MOST_SEEDS):
        return None
    few, many = 1, MOST_SEEDS
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if enough(middle) else (middle, many)
    return many


def half_width(deviation: float, count: int, level: float = LEVEL) -> float:
    """Half the confidence interval of a mean by Student's t, from the standard deviation of at
    least two figures.
    """
    return _quantile(0.5 + level / 2, count - 1.0) * deviation / math.sqrt(count)


def _mean(values: Sequence[float]) -> float:
    """From the first one on, so that the mean of equal figures is that figure to the last bit."""
    return values[0] + math.fsum(value - values[0] for value in values) / len(values)


def _variance(values: Sequence[float]) -> float:
    mean = _mean(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _satterthwaite(parts: Sequence[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of variances, each with its own (infinite where it is known)."""
    total, below = sum(part for part, _ in parts), sum(part**2 / freedom for part, freedom in parts)
    if below > 0:
        return float(total**2 / below)
    return math.inf if total > 0 else sum(f for _, f in parts if math.isfinite(f))


def _quantile(share: float, freedom: float) -> float:
    return float(ndtri(share) if math.isinf(freedom) else stdtrit(freedom, share))


def _p_value(difference: float, error: float, freedom: float) -> float:
    if error == 0:
        return float(difference == 0)
    t = -abs(difference) / error
    return float(2 * (ndtr(t) if math.isinf(freedom) else stdtr(freedom, t)))


def _meant(level: float, extra: tuple[float, float], pooled: tuple[float, float] | None) -> None:
    if not 0 < level < 1:
        raise ConfigError("level", "must be between 0 and 1", level)
    if not 0 <= extra[0] < math.inf:
        raise ConfigError("extra variance", "must be finite and at least 0", extra[0])
    if not extra[1] > 0:
        raise ConfigError("degrees of freedom of the extra variance", "must be above 0", extra[1])
    if pooled is not None and not (0 <= pooled[0] < math.inf and pooled[1] > 0):
        rule = "must be a standard deviation and its degrees of freedom, above 0"
        raise ConfigError("pooled", rule, pooled)


def _is_margin(margin: float) -> None:
    if not 0 <= margin < math.inf:
        raise ConfigError("margin", "must be finite and at least 0", margin)
