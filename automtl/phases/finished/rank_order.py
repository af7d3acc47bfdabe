"""How far two orders of the same things agree: Kendall's tau with its p and an interval that holds
for a handful of them.

Of n things without ties, d of the n (n - 1) / 2 pairs stand in two orders the other way round, tau
= 1 - 4 d / (n (n - 1)). Where one order is Mallows' around the other (Non-Null Ranking Models,
Biometrika 1957), with p(order) proportional to exp(-theta d), d has an exact distribution for every
theta, the sum of independent V_j on 0 .. j - 1 with p(v) proportional to exp(-theta v), j = 1 .. n;
theta = 0 says that the orders have nothing to do with each other. The interval holds every theta
that d does not reject (Clopper and Pearson's way), told as the mean of tau under it, so that it
leaves 0 out just where the exact test does. Resampling would say of a perfect order that it has no
error at all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.optimize import brentq
from scipy.special import logsumexp

MOST_EXACT = 100  # beyond, d is taken as normal: it is a sum of more than a hundred
_TAIL = 0.025
_THETA = 60.0  # below e^-60 there is nothing to tell apart

Tails = Callable[[float], tuple[float, float, float]]


@dataclass(frozen=True)
class Agreement:
    """The agreement of two orders.

    Args:
        tau: Kendall's tau-b.
        interval: its 95% interval.
        p: that unrelated orders agree or disagree as much, two-sided; exact for at most 100 things.
    """

    tau: float
    interval: tuple[float, float]
    p: float


def agreement(one: Sequence[float], other: Sequence[float]) -> Agreement | None:
    """How far two lists of figures order the same things alike; None where one of them is constant.

    Things that are alike in both count once; other ties widen the interval, since d is then rounded
    to either side.
    """
    tau = float(stats.kendalltau(one, other).statistic)
    if not np.isfinite(tau):
        return None
    n = len(set(zip(one, other, strict=True)))
    pairs = n * (n - 1) // 2
    turned = round((1 - tau) / 2 * pairs, 6)
    least, most = int(np.floor(turned)), int(np.ceil(turned))
    tails = _exact(n, least, most) if n <= MOST_EXACT else _normal(n, least, most)
    low = (
        -1.0
        if most == pairs
        else tails(brentq(lambda theta: tails(theta)[0] - _TAIL, -_THETA, _THETA))[2]
    )
    high = (
        1.0
        if least == 0
        else tails(brentq(lambda theta: tails(theta)[1] - _TAIL, -_THETA, _THETA))[2]
    )
    return Agreement(tau, (low, high), min(1.0, 2 * min(tails(0.0)[:2])))


def _exact(n: int, least: int, most: int) -> Tails:
    """Theta -> p(d <= most), p(d >= least), the mean of tau."""
    counts = np.ones(1)
    for j in range(2, n + 1):
        counts = np.convolve(counts, np.ones(j))  # of orders with d pairs turned
    logs, d = np.log(counts), np.arange(len(counts))

    def tails(theta: float) -> tuple[float, float, float]:
        weights = logs - theta * d
        shares = np.exp(weights - logsumexp(weights))
        return (
            float(shares[: most + 1].sum()),
            float(shares[least:].sum()),
            1 - 2 * float(shares @ d) / d[-1],
        )

    return tails


def _normal(n: int, least: int, most: int) -> Tails:
    """The same from a normal approximation with the mean and variance of d, corrected for
    continuity.
    """
    j = np.arange(2.0, n + 1)
    pairs = n * (n - 1) / 2

    def tails(theta: float) -> tuple[float, float, float]:
        t = max(abs(theta), 1e-9)
        flat = j * t < 1e-3  # where the closed forms lose their figures
        with np.errstate(over="ignore"):
            mean = np.where(
                flat, (j - 1) / 2 - t * (j**2 - 1) / 12, 1 / np.expm1(t) - j / np.expm1(j * t)
            ).sum()
            spread = 1 / np.sinh(t / 2) ** 2 - (j / np.sinh(j * t / 2)) ** 2
        deviation = np.sqrt(np.where(flat, (j**2 - 1) / 12, spread / 4).sum())
        centre = float(mean if theta >= 0 else pairs - mean)
        below, above = (
            stats.norm.cdf((most + 0.5 - centre) / deviation),
            stats.norm.sf((least - 0.5 - centre) / deviation),
        )
        return float(below), float(above), 1 - 2 * centre / pairs

    return tails
