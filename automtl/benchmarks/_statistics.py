"""How well a table's losses order its architectures: variance components, attainable order, spread.
Legend: n trainings, k architectures.

A random effects model: loss = mean + architecture + (seed +) rest, each a random variable of mean
0; the seeds may be unbalanced.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from automtl.errors import DataError, counted
from automtl.statistics import LEVEL, MARGIN, Interval

RESAMPLES = 2000


@dataclass(frozen=True)
class Components:
    """Variance components of a table.

    Args:
        mean: of all losses.
        architecture: variance between architectures, at least 0.
        seed: variance between trainings of one architecture.
    """

    mean: float
    architecture: float
    seed: float

    @property
    def icc(self) -> float:
        """var_arch / (var_arch + var_seed): which share of a single training's variance is the
        architecture's; 0 where all are equal.
        """
        whole = self.architecture + self.seed
        return self.architecture / whole if whole > 0 else 0.0

    @property
    def delta(self) -> float:
        """The margin within which two models count as equal, 1.5 standard deviations between
        seeds.
        """
        return MARGIN * math.sqrt(self.seed)


@dataclass(frozen=True)
class Spread:
    """The spread of architectures, as shares of the mean loss.

    Args:
        architecture: standard deviation between architectures.
        seed: between trainings of one architecture.
        strata: mean of the worst stratum over the best one's, less 1.
    """

    architecture: float
    seed: float
    strata: float


def components(
    losses: Sequence[float] | np.ndarray,
    architectures: Sequence[object],
    seeds: Sequence[object] | None = None,
) -> Components:
    """Variance components by the method of fitting constants (Henderson 1953, method 3), unbiased
    but for the cut at 0.

    One-way by default: with the mean as the only fixed part it is the analysis of variance for
    unequal group sizes. With `seeds` each seed number has an effect of its own, common to all
    architectures, that counts to neither variance (two-way, no interaction).

    Args:
        losses: (n,).
        architectures: (n,) of each loss.
        seeds: (n,) likewise.

    Raises:
        DataError: fewer than two architectures, none trained twice, or (two-way) no training left
            to estimate the rest from.
    """
    y, groups, counts = _grouped(losses, architectures)
    if seeds is None:
        squares = _squares(y, groups)
        architecture, seed = _one_way(counts, *squares)
        return Components(float(y.mean()), max(0.0, float(architecture)), float(seed))
    return _two_way(y, groups, _dummies(seeds))


def _two_way(y: np.ndarray, groups: np.ndarray, fixed: np.ndarray) -> Components:
    member = _dummies(groups)
    design = np.concatenate([member, fixed], axis=1)
    without, with_all = _residual(fixed, y), _residual(design, y)
    rank, rest = int(np.linalg.matrix_rank(design)), len(y) - int(np.linalg.matrix_rank(design))
    if rest < 1:
        raise DataError(
            "table",
            "must have more trainings than architectures and seeds explain",
            counted(len(y), "training"),
        )
    seed = float(with_all @ with_all) / rest
    between = float(without @ without - with_all @ with_all)
    # what the seeds leave of each architecture's column
    left = member - fixed @ np.linalg.lstsq(fixed, member, rcond=None)[0]
    architecture = (between - (rank - int(np.linalg.matrix_rank(fixed))) * seed) / float(
        (left * left).sum()
    )
    return Components(float(y.mean()), max(0.0, architecture), seed)


def _squares(y: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per architecture the sum and the sum of squares of its losses, from their common mean on.
    Shape: (k,), (k,).
    """
    centred = y - y.mean()  # losses are alike in their first figures
    return np.bincount(groups, centred), np.bincount(groups, centred**2)


def _one_way(
    counts: np.ndarray, sums: np.ndarray, squares: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Variances between architectures, perhaps below 0, and between seeds. Shape: all (..., k) ->
    (...).
    """
    size, k = counts.sum(-1), counts.shape[-1]
    seed = (squares - sums**2 / counts).sum(-1) / (size - k)
    between = (sums**2 / counts).sum(-1) - sums.sum(-1) ** 2 / size
    architecture: np.ndarray = (between - (k - 1) * seed) / (size - (counts**2).sum(-1) / size)
    return architecture, np.asarray(seed)


def best_predictions(
    losses: Sequence[float] | np.ndarray, architectures: Sequence[object]
) -> dict[object, float]:
    """Each architecture's loss as best predicted: its mean, drawn to the mean of all the more, the
    fewer seeds it has (BLUP).
    """
    y, groups, counts = _grouped(losses, architectures)
    c = components(y, architectures)
    names = list(dict.fromkeys(architectures))
    means = np.bincount(groups, y) / counts
    centre = float(means.mean())
    shares = (
        counts * c.architecture / (counts * c.architecture + c.seed)
        if c.architecture > 0
        else np.zeros(len(counts))
    )
    return {
        name: float(value)
        for name, value in zip(names, centre + shares * (means - centre), strict=True)
    }


def icc_interval(
    losses: Sequence[float] | np.ndarray, architectures: Sequence[object], *, seed: int = 0
) -> Interval:
    """95% percentile-bootstrap interval of the one-way ICC over architectures."""
    y, groups, counts = _grouped(losses, architectures)
    sums, squares = _squares(y, groups)

    def resampled(picks: np.ndarray) -> np.ndarray:
        architecture, rest = (
            np.maximum(0.0, v) for v in _one_way(counts[picks], sums[picks], squares[picks])
        )
        whole = architecture + rest
        return np.where(whole == 0, 0.0, architecture / whole)  # as `Components.icc`

    return _percentiles(resampled, _resamples(len(counts), seed))


def seed_tau(first: Sequence[float], second: Sequence[float]) -> float:
    """Kendall's tau-b of the losses of two seeds, architecture by architecture.

    Raises:
        DataError: it is undefined, since one side is constant.
    """
    tau = float(stats.kendalltau(first, second).statistic)
    if not math.isfinite(tau):
        raise DataError("table", "must have losses that differ for both seeds", "a constant")
    return tau


def attainable_tau(tau: float) -> float:
    """The tau that a perfect prediction of the true order would reach with the mean of two seeds,
    from the tau of one with the other.

    With jointly normal losses two seeds correlate by r = sin(pi tau / 2), the truth with their mean
    by sqrt(2 r / (1 + r)), whose tau is (2 / pi) asin of it. Seeds that do not agree at all leave
    nothing to attain: 0.
    """
    r = math.sin(math.pi * tau / 2)
    return 0.0 if r <= 0 else 2 / math.pi * math.asin(math.sqrt(2 * r / (1 + r)))


def attainable_interval(
    first: Sequence[float], second: Sequence[float], *, seed: int = 0
) -> Interval:
    """95% percentile-bootstrap interval of the attainable tau over architectures."""
    signs = [
        np.sign(np.subtract.outer(v, v))
        for v in (np.asarray(first, float), np.asarray(second, float))
    ]
    product = signs[0] * signs[1]
    one, other = signs[0] ** 2, signs[1] ** 2

    def resampled(picks: np.ndarray) -> np.ndarray:
        times = np.stack([np.bincount(p, minlength=len(product)) for p in picks]).astype(float)
        agreed, differ, also = (
            ((times @ matrix) * times).sum(1) for matrix in (product, one, other)
        )
        return np.array(
            [
                attainable_tau(t) if math.isfinite(t) else np.nan
                for t in agreed / np.sqrt(differ * also)
            ]
        )

    return _percentiles(resampled, _resamples(len(product), seed))


def spread(
    losses: Sequence[float] | np.ndarray, architectures: Sequence[object], strata: Sequence[object]
) -> Spread:
    """The spread of architectures, seeds and strata; a stratum's mean is that of its architectures'
    means.
    """
    c = components(losses, architectures)
    y, groups, counts = _grouped(losses, architectures)
    by = stratum_means((np.bincount(groups, y) / counts).tolist(), _homes(groups, strata))
    return Spread(
        math.sqrt(c.architecture) / c.mean,
        math.sqrt(c.seed) / c.mean,
        max(by.values()) / min(by.values()) - 1,
    )


def _homes(groups: np.ndarray, strata: Sequence[object]) -> list[object]:
    """The stratum of each architecture."""
    of = dict(zip(groups.tolist(), strata, strict=True))
    return [of[g] for g in range(len(of))]


def stratum_means(
    losses: Sequence[float] | np.ndarray, strata: Sequence[object]
) -> dict[object, float]:
    """The mean loss of each stratum."""
    return {
        s: float(np.mean([x for x, t in zip(losses, strata, strict=True) if t == s]))
        for s in dict.fromkeys(strata)
    }


def _grouped(
    losses: Sequence[float] | np.ndarray, architectures: Sequence[object]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Losses, the number of each one's architecture in order of appearance, and how many trainings
    each has.
    """
    y = np.asarray(losses, float)
    if not np.isfinite(y).all():
        raise DataError(
            "table", "must have finite losses", "NaN or infinity", "leave the failed trainings out"
        )
    places = {name: i for i, name in enumerate(dict.fromkeys(architectures))}
    groups = np.array([places[name] for name in architectures], int)
    counts = np.bincount(groups) if len(groups) else np.zeros(0, int)
    if len(places) < 2 or not (counts > 1).any():
        got = f"{len(y)} trainings of {len(places)} architectures"
        raise DataError(
            "table", "must have two architectures or more, some trained with several seeds", got
        )
    return y, groups, counts


def _dummies(labels: Sequence[object] | np.ndarray) -> np.ndarray:
    """(n, number of labels) 0 and 1."""
    _, codes = np.unique(np.array([str(label) for label in labels]), return_inverse=True)
    return np.eye(int(codes.max()) + 1)[codes]


def _residual(design: np.ndarray, y: np.ndarray) -> np.ndarray:
    # every design has the mean among its columns' span: as exact, and losses are alike in their
    # first figures
    centred = y - y.mean()
    left: np.ndarray = centred - design @ np.linalg.lstsq(design, centred, rcond=None)[0]
    return left


def _resamples(size: int, seed: int) -> np.ndarray:
    """Resamples of so many architectures. Shape: (RESAMPLES, size)."""
    return np.random.default_rng(seed).integers(0, size, (RESAMPLES, size))


def _percentiles(resampled: Callable[[np.ndarray], np.ndarray], picks: np.ndarray) -> Interval:
    """The middle 95% of a statistic over resamples; those in which it is undefined are left out."""
    with np.errstate(divide="ignore", invalid="ignore"):
        values = resampled(picks)
    values = values[np.isfinite(values)]
    if not len(values):
        raise DataError(
            "table",
            "must have architectures with several seeds in some resamples",
            "none",
            "train more of them twice",
        )
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
